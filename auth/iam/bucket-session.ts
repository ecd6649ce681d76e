/**
 * S3's CreateSession: credentials of five minutes for one bucket, that do no more than those that asked for them.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateSession.html
 */
import type { IamHandler } from './iam-call.ts'
import { type ParamForm, required } from './iam-params.ts'
import { type Fresh, openSession, type Session, startSession } from './session-token.ts'

const SESSION_MS = 300_000
const BUCKET: ParamForm = { pattern: /^[A-Za-z0-9._-]{3,255}$/, what: 'the name of a bucket' }
const MODE: ParamForm = { pattern: /^Read(?:Only|Write)$/, what: 'ReadOnly or ReadWrite' }

export const BUCKET_SESSION_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async CreateSession({ parts, params, accessKey, sessionToken }) {
    const bucket = required(params, 'Bucket', BUCKET)
    const isReadOnly = required(params, 'Mode', MODE) === 'ReadOnly'
    const endMs = parts.clock.nowMs() + SESSION_MS
    const parent: Fresh<Session> =
      sessionToken === undefined
        ? { kind: 'key', parent: accessKey, expiresMs: endMs }
        : openSession(parts, accessKey, sessionToken)
    const expiresMs = Math.min(parent.expiresMs, endMs)
    const session = { ...parent, expiresMs, only: { bucket, isReadOnly } }
    return { Credentials: { ...startSession(parts, session) } }
  },
}
