/**
 * CreateSession: credentials of five minutes for this bucket, by which clients sign what they do in directory buckets.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateSession.html
 */
import type { Reply } from '../../reply.ts'
import { refuseDenied } from '../access/s3-access.ts'
import { findOwnBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { xmlReply } from '../s3-reply.ts'
import type { XmlElement } from '../xml/xml-out.ts'

const MODES = ['ReadOnly', 'ReadWrite'] as const

/** Who may sign may have it, unless a policy denies it: it opens nothing that was closed. */
export async function createSession(call: S3Call): Promise<Reply> {
  const { signature, bucket, keyring } = call
  if (signature === null || signature.isPresigned) throw new S3Error('AccessDenied')
  const { path, info } = await findOwnBucket(call, undefined)
  const use = { action: 's3express:CreateSession', acl: 'none', method: 'GET' } as const
  await refuseDenied(call, { use, path, bucket: info })
  if (keyring.iam === undefined) throw notImplemented('CreateSession without an identity service')
  const params = { Bucket: bucket, Mode: modeOf(call) }
  const outcome = await keyring.iam.call({ ...signature.key, action: 'CreateSession', params })
  if ('error' in outcome) throw new S3Error('AccessDenied', outcome.error.message)
  return xmlReply('CreateSessionResult', outcome.result as XmlElement)
}

function modeOf(call: S3Call): (typeof MODES)[number] {
  const name = 'x-amz-create-session-mode'
  const text = call.header(name) ?? 'ReadWrite'
  const mode = MODES.find((known) => known === text)
  if (mode !== undefined) return mode
  throw new S3Error('InvalidArgument', 'A session is ReadOnly or ReadWrite.', {
    ArgumentName: name,
    ArgumentValue: text,
  })
}
