import type { Config } from '../common/config.ts'
import { ServiceError } from '../common/errors.ts'

/** Who keeps the root secrets of encryption at rest. */
export interface KeymasterSettings {
  readonly kind: 'file'
  /** Beside swiftlet.json if relative. */
  readonly file: string
}

/** Swift's other keymasters, by the kinds of our own; nothing is enciphered by half. */
const NOT_BUILT: Readonly<Record<string, string>> = {
  kms: 'of Barbican',
  kmip: 'of KMIP',
}

/** Throws 400 `BadConfig`, and 501 `NotImplemented` for a kind that Swift has and that is not built. */
export function decodeKeymaster(config: Config): KeymasterSettings {
  const kind = config.text('kind')
  const what = NOT_BUILT[kind]
  if (what !== undefined) {
    const message = `keymaster: secrets ${what} are not built; kind file is there`
    throw new ServiceError('NotImplemented', message, { status: 501 })
  }
  if (kind !== 'file') throw config.wrong('kind', 'is file')
  const settings = { kind, file: config.text('file') } as const
  config.end()
  return settings
}
