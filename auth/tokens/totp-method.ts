import { Secret, TOTP } from 'otpauth'
import type { StateTransaction } from '../../common/state/state-store.ts'
import { expecting, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { isLocked, letsIn } from '../passwords/lockout.ts'
import { openBlob } from '../secrets/credential-blobs.ts'
import { type CredentialRow, credentials, TOTP_TYPE, usedCodes } from '../tables/credentials.ts'
import type { AuthProof } from './auth-methods.ts'
import type { Reference } from './auth-request.ts'
import { findUser } from './references.ts'

const PERIOD_SECONDS = 30
const DIGITS = 6

/** Signs in by a one-time code (RFC 6238) of one of the user's credentials of type `totp`: each code once. */
export async function byTotp(parts: IdentityParts, payload: unknown): Promise<AuthProof> {
  const { user: reference } = payload as {
    readonly user?: Reference & { readonly passcode?: string }
  }
  if (reference === undefined) throw expecting('user', 'totp')
  const { passcode } = reference
  if (passcode === undefined) throw expecting('passcode', 'user')
  const { state, settings, clock } = parts
  const user = await findUser(state, reference)
  const rules = settings.security
  const nowMs = clock.nowMs()
  // The code of somebody who is locked out stays good for later.
  const locked = user !== undefined && (await isLocked(state, user, { rules, nowMs }))
  const right =
    user !== undefined && !locked && (await takeCode(parts, { userId: user.id, passcode, nowMs }))
  const letIn = await letsIn(state, user, { right, rules, nowMs })
  if (!letIn || user === undefined) throw unauthorized('wrong code')
  return { userId: user.id }
}

/** Whether it is a code of now that was not taken before; then it is taken. */
async function takeCode(
  parts: IdentityParts,
  wanted: { readonly userId: string; readonly passcode: string; readonly nowMs: number },
): Promise<boolean> {
  const { state, settings } = parts
  const { userId, passcode, nowMs } = wanted
  for (const row of await credentials.by(state, 'user', userId, TOTP_TYPE)) {
    const step = stepOf(openBlob(parts, row), {
      passcode,
      nowMs,
      earlier: settings.earlierCodesTaken,
    })
    if (step === null) continue
    if (await state.transaction((tx) => takeStep(tx, row, step))) return true
  }
  return false
}

async function takeStep(tx: StateTransaction, row: CredentialRow, step: number): Promise<boolean> {
  const last = await usedCodes.get(tx, row.id)
  if (last !== undefined && last.step >= step) return false
  await usedCodes.put(tx, { credentialId: row.id, step })
  return true
}

/** The time step that it is the code of, the current one or one of those before; null if it is none. */
export function stepOf(
  secret: string,
  {
    passcode,
    nowMs,
    earlier,
  }: { readonly passcode: string; readonly nowMs: number; readonly earlier: number },
): number | null {
  const seed = seedOf(secret)
  if (seed === null) return null
  const totp = new TOTP({ secret: seed, digits: DIGITS, period: PERIOD_SECONDS, algorithm: 'SHA1' })
  const delta = totp.validate({ token: passcode, timestamp: nowMs, window: earlier })
  // A window reaches into the future too.
  if (delta === null || delta > 0) return null
  return Math.floor(nowMs / 1000 / PERIOD_SECONDS) + delta
}

/** The seed of a credential in base32; null for what is none. */
function seedOf(secret: string): Secret | null {
  if (!/^[A-Za-z2-7]+=*$/.test(secret)) return null
  return Secret.fromBase32(secret)
}
