import type { Clock } from '../common/clock.ts'
import type { Log } from '../common/log.ts'
import type { Random } from '../common/random.ts'
import type { StateStore, StateTransaction } from '../common/state/state-store.ts'
import type { RevocationEvent } from '../common/token/revocation.ts'
import type { VerifiedTokens } from '../common/token/verified-tokens.ts'
import type { Directories } from './directories/directories.ts'
import type { PasswordCheck } from './passwords/password-check.ts'
import type { IdentityPolicy } from './policy/identity-policy.ts'
import type { DomainRemovals } from './removal/domain-removal.ts'
import type { SecretKeys } from './secrets/secret-keys.ts'
import type { IdentitySettings } from './settings.ts'
import type { LoadedKeys } from './tokens/key-file.ts'
import type { RevocationLog } from './tokens/revocation-log.ts'

/** What all calls of the identity service work with. */
export interface IdentityParts {
  readonly state: StateStore
  readonly settings: IdentitySettings
  readonly policy: IdentityPolicy
  readonly revocations: RevocationLog
  readonly verified: VerifiedTokens
  readonly passwords: PasswordCheck
  readonly directories: Directories
  readonly removals: DomainRemovals
  /** The keys that sign and verify now. */
  readonly keys: () => LoadedKeys
  /** The keys that seal secrets in state now. */
  readonly secrets: () => SecretKeys
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** What an event names; the times are those of the change. */
export type Voids = Omit<RevocationEvent, 'issuedBeforeMs' | 'revokedAtMs'>

export interface Change {
  readonly tx: StateTransaction
  /** Voids tokens together with the change. */
  revoke(what: Voids): Promise<void>
}

/** Changes state and voids tokens in one transaction; when it returns, both are seen. */
export async function change<T>(
  { state, revocations, clock }: Pick<IdentityParts, 'state' | 'revocations' | 'clock'>,
  work: (change: Change) => Promise<T>,
): Promise<T> {
  let revoked = false
  const result = await state.transaction((tx) => {
    const revoke = async (what: Voids) => {
      revoked = true
      const nowMs = clock.nowMs()
      await revocations.add(tx, { ...what, issuedBeforeMs: nowMs, revokedAtMs: nowMs })
    }
    return work({ tx, revoke })
  })
  if (revoked) await revocations.refresh()
  return result
}
