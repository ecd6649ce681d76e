/** The records of a call: one of its own bucket, more where it was about other objects, too. */
import type { TLSSocket } from 'node:tls'
import type { Exchange } from '../../exchange.ts'
import { isStream, type Reply, replyHeader } from '../../reply.ts'
import type { S3Call } from '../s3-call.ts'
import { logOperation } from './log-operation.ts'
import { type LogRecord, renderRecord } from './log-record.ts'
import type { LogSource } from './log-setting.ts'

/** A line, and the bucket that it is about. */
export interface RecordedLine {
  readonly source: LogSource
  /** How that bucket wants to be logged, as it is kept. */
  readonly setting: string
  readonly line: string
}

/** What is known when there is an answer, before it is sent. */
export interface AnsweredCall {
  readonly call: S3Call
  readonly turnAroundMs: number
  readonly objectBytes: number | undefined
  readonly versionId: string | undefined
  readonly hostId: string | undefined
}

/** The reply's headers are as they will be sent. */
export function answeredCall(call: S3Call, reply: Reply): AnsweredCall {
  const { exchange } = call
  return {
    call,
    turnAroundMs: exchange.proxy.clock.monotonicMs() - exchange.startedMs,
    objectBytes: objectBytes(call, reply),
    versionId: replyHeader(reply, 'x-amz-version-id'),
    hostId: replyHeader(reply, 'x-amz-id-2'),
  }
}

/** Once the answer was sent. */
export function recordsOf(answered: AnsweredCall, status: number): readonly RecordedLine[] {
  const { notes, target } = answered.call
  const { bucket, source, batch } = notes
  const own = recordOf(answered, status)
  const lines: RecordedLine[] = []
  const add = (at: typeof bucket, name: string, record: LogRecord) => {
    if (at?.logging === undefined) return
    const about = { account: at.account, bucket: name }
    const line = renderRecord({ ...record, bucketOwner: at.account, bucket: name })
    lines.push({ source: about, setting: at.logging, line })
  }
  add(bucket, target.bucket!, own)
  for (const one of batch) {
    const operation = 'BATCH.DELETE.OBJECT'
    add(bucket, target.bucket!, { ...own, ...one, operation, sentBytes: 0 })
  }
  if (source !== null) {
    const { key, versionId } = source
    const read = { operation: `${own.operation}_GET`, key, versionId, sentBytes: 0 }
    add(source, source.bucket, { ...own, ...read, objectBytes: undefined })
  }
  return lines
}

function recordOf(answered: AnsweredCall, status: number): LogRecord {
  const { call, turnAroundMs, objectBytes, versionId, hostId } = answered
  const { exchange, notes } = call
  const { clock } = exchange.proxy
  const totalMs = clock.monotonicMs() - exchange.startedMs
  return {
    bucketOwner: '',
    bucket: '',
    receivedMs: clock.nowMs() - totalMs,
    remoteAddress: exchange.socket.remoteAddress?.replace(/^::ffff:/, ''),
    requester: requesterOf(exchange),
    requestId: exchange.transId,
    operation: logOperation({
      method: exchange.method,
      hasKey: notes.key !== undefined,
      isCopy: call.header('x-amz-copy-source') !== undefined,
      isWebsite: notes.isWebsite,
      parameters: call.query.names,
    }),
    key: notes.key,
    method: exchange.method,
    target: exchange.url,
    status,
    errorCode: notes.errorCode,
    sentBytes: exchange.bytesOut,
    objectBytes: status < 400 ? objectBytes : undefined,
    totalMs,
    turnAroundMs,
    referer: exchange.header('referer'),
    userAgent: exchange.header('user-agent'),
    versionId,
    hostId,
    ...signatureOf(call),
    host: exchange.header('host'),
    ...tlsOf(exchange),
  }
}

/** IAM's people by their names, everybody else by the account. */
function requesterOf({ caller }: Exchange): string | undefined {
  if (caller === null) return undefined
  const { iam, account } = caller
  return iam === undefined || iam.kind === 'account' ? account : iam.arn
}

function signatureOf({ signature }: S3Call): Pick<LogRecord, 'signature' | 'authentication'> {
  if (signature === null) return { signature: undefined, authentication: undefined }
  return {
    signature: signature.seed === null ? 'SigV2' : 'SigV4',
    authentication: signature.isPresigned ? 'QueryString' : 'AuthHeader',
  }
}

function tlsOf({ socket }: Exchange): Pick<LogRecord, 'cipher' | 'tls'> {
  if (!('encrypted' in socket)) return { cipher: undefined, tls: undefined }
  const { cipher, version } = cipherOf(socket as TLSSocket)
  return { cipher, tls: version }
}

/** Undefined where the connection is gone. */
function cipherOf(socket: TLSSocket) {
  const cipher = socket.getCipher() as { readonly standardName?: string } | undefined
  return { cipher: cipher?.standardName, version: socket.getProtocol() ?? undefined }
}

/** Of the whole object that is read or written; undefined for what is about something else. */
function objectBytes(call: S3Call, reply: Reply): number | undefined {
  const { method } = call.exchange
  const { body } = reply
  if (call.notes.key === undefined) return undefined
  const total = /\/(\d+)$/.exec(replyHeader(reply, 'Content-Range') ?? '')?.[1]
  if (total !== undefined) return Number(total)
  if (method === 'HEAD') return reply.announcedBytes
  if (method === 'GET' && isStream(body)) return body.bytes ?? undefined
  if (method === 'GET' && body instanceof Uint8Array) return body.length
  if (method !== 'PUT') return undefined
  const sent = call.header('x-amz-decoded-content-length') ?? call.header('content-length')
  return sent === undefined || call.notes.source !== null ? undefined : Number(sent)
}
