/**
 * Credentials for a time: the session token says everything of them, sealed, so that nothing is kept. What the role may
 * do, and whether it is still there, is looked up when they are used.
 */
import { ServiceError } from '../../common/errors.ts'
import type { BucketScope } from '../../common/iam.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { seal, unseal } from '../secrets/secret-keys.ts'
import type { IamTag } from '../tables/iam.ts'
import { expiredToken, invalidToken } from './iam-error.ts'
import { accessKeyId, secretKey } from './iam-ids.ts'

interface SessionBase {
  readonly accessKey: string
  readonly secret: string
  readonly expiresMs: number
  /** Of a session of one bucket. */
  readonly only?: BucketScope
}

/** Of a role that somebody has taken on. */
export interface RoleSession extends SessionBase {
  readonly kind: 'role'
  readonly roleId: string
  readonly name: string
  /** What it was narrowed to: JSON. */
  readonly policies: readonly string[]
  /** Shared policies that it was narrowed to, too: what they say is looked up when it is used. */
  readonly policyRefs?: readonly string[]
  readonly tags: readonly IamTag[]
  readonly federated?: string
}

/** Of the holder of another key. */
export interface KeySession extends SessionBase {
  readonly kind: 'key'
  readonly parent: string
}

export type Session = RoleSession | KeySession
export type Fresh<T extends Session> = T extends Session ? Omit<T, 'accessKey' | 'secret'> : never

type Parts = Pick<IdentityParts, 'secrets' | 'random' | 'clock'>

const PLACE = 'iam session'

export interface SessionCredentials {
  readonly AccessKeyId: string
  readonly SecretAccessKey: string
  readonly SessionToken: string
  readonly Expiration: string
}

export function startSession(
  parts: Parts,
  session: Fresh<RoleSession> | Fresh<KeySession>,
): SessionCredentials {
  const accessKey = accessKeyId(parts.random, 'ASIA')
  const secret = secretKey(parts.random)
  const text = JSON.stringify({ ...session, accessKey, secret })
  return {
    AccessKeyId: accessKey,
    SecretAccessKey: secret,
    SessionToken: seal(parts.secrets(), text, { place: PLACE, random: parts.random }),
    Expiration: new Date(session.expiresMs).toISOString(),
  }
}

/** Throws InvalidToken unless it is the token of the key, ExpiredToken if its time is over. */
export function openSession(
  { secrets, clock }: Pick<Parts, 'secrets' | 'clock'>,
  accessKey: string,
  token: string,
): Session {
  const session = JSON.parse(unsealed(() => unseal(secrets(), token, PLACE))) as Session
  if (session.accessKey !== accessKey) throw invalidToken()
  if (session.expiresMs <= clock.nowMs()) throw expiredToken()
  return session
}

function unsealed(read: () => string): string {
  try {
    return read()
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'SecretUnreadable') throw invalidToken()
    throw error
  }
}
