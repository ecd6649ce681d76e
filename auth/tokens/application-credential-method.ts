import type { StateReader } from '../../common/state/state-store.ts'
import { expecting, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import {
  type ApplicationCredentialRow,
  applicationCredentials,
} from '../tables/application-credentials.ts'
import type { AuthContext, AuthProof } from './auth-methods.ts'
import type { Reference } from './auth-request.ts'
import { applicationCredentialDelegation } from './delegation.ts'
import { findUser } from './references.ts'

interface Payload {
  readonly id?: string
  readonly name?: string
  readonly user?: Reference
  readonly secret: string
}

/** Signs in by the secret of an application credential, named by its id, or by its name and the user. */
export async function byApplicationCredential(
  parts: IdentityParts,
  payload: unknown,
  { wanted }: AuthContext,
): Promise<AuthProof> {
  if (wanted.kind !== 'none') throw unauthorized('application credentials cannot request a scope')
  const { secret, ...reference } = payload as Payload
  const credential = await findCredential(parts.state, reference)
  // Takes as long where there is none.
  const matches = await parts.passwords.matches(secret, credential?.secretHash)
  if (!matches) throw unauthorized('no such application credential or secret')
  const delegation = applicationCredentialDelegation(credential, parts.clock.nowMs())
  return { userId: credential!.userId, delegation }
}

async function findCredential(
  reader: StateReader,
  { id, name, user }: Omit<Payload, 'secret'>,
): Promise<ApplicationCredentialRow | undefined> {
  if (id !== undefined) return applicationCredentials.get(reader, id)
  if (name === undefined) throw expecting('name or ID', 'application credential')
  if (user === undefined) throw expecting('user', 'application credential')
  const owner = await findUser(reader, user)
  return owner === undefined
    ? undefined
    : applicationCredentials.one(reader, 'name', owner.id, name)
}
