import { ServiceError } from '../../common/errors.ts'
import type { Backend } from '../backend/backend.ts'

/** A container that only the store itself knows of. */
export interface OwnContainer {
  readonly account: string
  readonly container: string
  readonly policy: number
}

/**
 * Writes into it; it is made before the first write. A write that is refused for want of a container leaves its record there for a
 * moment, and the next one, under its condition, would take that for somebody else's.
 */
export async function inOwnContainer<T>(
  backend: Backend,
  own: OwnContainer,
  write: () => Promise<T>,
): Promise<T> {
  if ((await backend.cachedContainer(own.account, own.container)) === null) await make(backend, own)
  try {
    return await write()
  } catch (error) {
    if (!(error instanceof ServiceError) || error.status !== 404) throw error
    await make(backend, own)
    return write()
  }
}

async function make(backend: Backend, { account, container, policy }: OwnContainer): Promise<void> {
  await backend.putAccount(account, { headers: {} })
  await backend.putContainer(account, container, { meta: { headers: {} }, policy })
}
