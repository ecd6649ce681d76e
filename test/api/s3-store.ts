/** A store that speaks S3, and requests signed by hand: what the SDK would not send. */
import { createHash, createHmac } from 'node:crypto'
import { type ClientRequest, type IncomingHttpHeaders, request } from 'node:http'
import {
  type CompletedPart,
  CompleteMultipartUploadCommand,
  type CompleteMultipartUploadCommandOutput,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { TAP } from 'tap'
import type { S3Credentials } from '../../common/identity.ts'
import { openTestStore, type TestStore } from './swift-store.ts'

export interface TestKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export const MAIN: TestKey = { accessKeyId: 'test:tester', secretAccessKey: 'testing' }
export const OTHER: TestKey = { accessKeyId: 'AKOTHER', secretAccessKey: 'other/secret+key' }
/** In the project of MAIN, without a role that gives it anything. */
export const GUEST: TestKey = { accessKeyId: 'AKGUEST', secretAccessKey: 'guest' }

const CALLERS: Readonly<
  Record<
    string,
    { readonly key: TestKey; readonly groups: readonly string[]; readonly account: string }
  >
> = {
  [MAIN.accessKeyId]: {
    key: MAIN,
    account: 'AUTH_test',
    groups: ['test', 'test:tester', 'AUTH_test'],
  },
  [OTHER.accessKeyId]: {
    key: OTHER,
    account: 'AUTH_test2',
    groups: ['test2', 'test2:tester2', 'AUTH_test2'],
  },
  [GUEST.accessKeyId]: { key: GUEST, account: 'AUTH_test', groups: ['test', 'test:tester3'] },
}

export const testCredentials: S3Credentials = {
  find(accessKey) {
    const found = Object.hasOwn(CALLERS, accessKey) ? CALLERS[accessKey] : undefined
    if (found === undefined) return null
    const { key, account, groups } = found
    const caller = { user: groups[1]!, account, groups, expiresAtMs: Number.MAX_SAFE_INTEGER }
    return { secret: key.secretAccessKey, caller }
  },
}

export function openS3Store(
  folder: string,
  options: Parameters<typeof openTestStore>[1] = {},
): Promise<TestStore> {
  const s3 = {
    credentials: testCredentials,
    domains: ['s3.localhost'],
    partBytesMin: 5 * 1024 * 1024,
  }
  return openTestStore(folder, { s3, versionsSettle: false, ...options })
}

/** A store for a whole file of tests, and what they call: by S3 as MAIN, and by Swift as the same user. */
export interface S3Rig {
  readonly store: TestStore
  readonly s3: S3Client
  /** Of the user, for Swift's API. */
  readonly token: string
  readonly signed: (asked: SignedRequest) => Promise<RawAnswer>
  /** `path` is below the account. */
  readonly swift: (method: string, path: string, init?: RequestInit) => Promise<Response>
}

/** Opens it; it is closed when the file's tests are over. */
export async function openS3Rig(
  t: Pick<TAP, 'testdir' | 'teardown'>,
  options: Parameters<typeof openTestStore>[1] = {},
): Promise<S3Rig> {
  const store = await openS3Store(t.testdir(), options)
  const s3 = s3Client(store.port)
  t.teardown(async () => {
    s3.destroy()
    await store.close()
  })
  const signedIn = await fetch(`${store.url}/auth/v1.0`, {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
  })
  const token = signedIn.headers.get('x-auth-token')!
  return {
    store,
    s3,
    token,
    signed: (asked) => sendSigned(store.port, asked),
    swift(method, path, init = {}) {
      const headers = { 'x-auth-token': token, ...(init.headers as Record<string, string>) }
      return fetch(`${store.url}/v1/AUTH_test${path}`, { ...init, method, headers })
    },
  }
}

export function s3Client(port: number, key: TestKey = MAIN, more: S3ClientConfig = {}): S3Client {
  return new S3Client({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: key,
    maxAttempts: 1,
    ...more,
  })
}

/** Puts an object by a multipart upload; each body is a part. */
export async function putInParts(
  s3: S3Client,
  begin: CreateMultipartUploadCommandInput,
  bodies: readonly (string | Buffer)[],
): Promise<CompleteMultipartUploadCommandOutput> {
  const { Bucket, Key, ChecksumAlgorithm, ChecksumType } = begin
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(begin))
  const upload = { Bucket, Key, UploadId }
  const Parts: CompletedPart[] = []
  for (const [index, Body] of bodies.entries()) {
    const part = { ...upload, PartNumber: index + 1, Body, ChecksumAlgorithm }
    const { ETag } = await s3.send(new UploadPartCommand(part))
    Parts.push({ ETag, PartNumber: part.PartNumber })
  }
  const complete = { ...upload, MultipartUpload: { Parts }, ChecksumType }
  return s3.send(new CompleteMultipartUploadCommand(complete))
}

export interface SignedRequest {
  readonly method?: string
  /** Escaped, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Added behind the signer's back. */
  readonly unsigned?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** What is signed for the body; its SHA-256 if absent. */
  readonly payloadHash?: string
  readonly key?: TestKey | null
  readonly at?: Date
  /** Ends the connection in the middle of the body. */
  readonly cut?: true
  /** Sends none of it, and waits for the answer; its length is among the headers. */
  readonly withoutBody?: true
}

export interface RawAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Of an error document. */
  readonly code: string
}

/** Sends a request signed with Version 4, as the text of the specification says; with a null key it is not signed. */
export function sendSigned(port: number, asked: SignedRequest): Promise<RawAnswer> {
  const { method = 'GET', path, body = '', key = MAIN, at = new Date() } = asked
  const timestamp = at.toISOString().replace(/[-:]|\.\d{3}/g, '')
  const payloadHash = asked.payloadHash ?? createHash('sha256').update(body).digest('hex')
  const headers: Record<string, string> = { host: `127.0.0.1:${port}`, ...asked.headers }
  if (key !== null) {
    headers['x-amz-date'] = timestamp
    headers['x-amz-content-sha256'] = payloadHash
    headers.authorization = signV4({ method, path, headers, payloadHash, timestamp, key })
  }
  if (method === 'PUT' || method === 'POST')
    headers['content-length'] = String(Buffer.byteLength(body))
  const onRequest = asked.withoutBody && ((sent: ClientRequest) => sent.flushHeaders())
  return send(port, {
    ...{ method, path, body },
    headers: { ...headers, ...asked.unsigned },
    ...(onRequest && { onRequest }),
  })
}

/** A URL's path and query that anybody may use for five minutes. */
export function presign(method: string, path: string, host: string, key: TestKey = MAIN): string {
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const scope = `${timestamp.slice(0, 8)}/us-east-1/s3/aws4_request`
  const parameters = new URLSearchParams({
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${key.accessKeyId}/${scope}`,
    'X-Amz-Date': timestamp,
    'X-Amz-Expires': '300',
    'X-Amz-SignedHeaders': 'host',
  })
  const url = `${path}${path.includes('?') ? '&' : '?'}${parameters}`
  const headers = { host }
  const authorization = signV4({
    method,
    path: url,
    headers,
    payloadHash: 'UNSIGNED-PAYLOAD',
    timestamp,
    key,
  })
  return `${url}&X-Amz-Signature=${authorization.split('Signature=')[1]}`
}

export function send(
  port: number,
  asked: {
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: string | Buffer
    readonly onRequest?: (sent: ClientRequest) => void
  },
): Promise<RawAnswer> {
  const { method, path, headers, body = '' } = asked
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, method, path, headers, agent: false },
      (res) => {
        const pieces: Buffer[] = []
        res.on('data', (piece: Buffer) => pieces.push(piece))
        res.on('error', reject)
        res.on('end', () => {
          const text = Buffer.concat(pieces).toString()
          const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? ''
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text, code })
        })
      },
    )
    sent.on('error', reject)
    if (asked.onRequest === undefined) sent.end(body)
    else asked.onRequest(sent)
  })
}

/** The Authorization header of Version 4; every header that is given is signed. */
export function signV4(of: {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly payloadHash: string
  readonly timestamp: string
  readonly key: TestKey
  /** `s3` if absent. */
  readonly service?: string
}): string {
  const { method, path, headers, payloadHash, timestamp, key, service = 's3' } = of
  const [bare = '', query = ''] = path.split('?')
  const names = Object.keys(headers)
    .map((name) => name.toLowerCase())
    .sort()
  const pairs = query === '' ? [] : query.split('&').map((pair) => pair.split('='))
  pairs.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
  const canonical = [
    method,
    bare,
    pairs.map(([name, value = '']) => `${name}=${value}`).join('&'),
    ...names.map((name) => `${name}:${headers[name]}`),
    '',
    names.join(';'),
    payloadHash,
  ].join('\n')
  const scope = `${timestamp.slice(0, 8)}/us-east-1/${service}/aws4_request`
  const digest = createHash('sha256').update(canonical).digest('hex')
  const text = ['AWS4-HMAC-SHA256', timestamp, scope, digest].join('\n')
  const hmac = (secret: string | Buffer, word: string) =>
    createHmac('sha256', secret).update(word).digest()
  const signingKey = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${key.secretAccessKey}`)
  const signature = hmac(signingKey, text).toString('hex')
  return `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
}
