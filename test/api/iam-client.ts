/** Calls of IAM and STS, signed by hand, and requests of S3 by the keys that come of them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { sendSigned, signV4, type TestKey } from './s3-store.ts'
import type { TestStore } from './swift-store.ts'

/** A key, with the token of its session. */
export interface SessionKey extends TestKey {
  readonly token?: string
}

export interface IamCallOptions {
  readonly key?: SessionKey | null
  /** Sent in the place of what was signed. */
  readonly body?: string
  readonly service?: string
}

type Params = Readonly<Record<string, string>>

/** Who calls the store; `root` is the key of calls that name none. */
export function iamClient(store: Pick<TestStore, 'url' | 'port'>, root: SessionKey) {
  /** A call of IAM or STS: its status, its error's code, and its XML. */
  async function call(action: string, params: Params = {}, options: IamCallOptions = {}) {
    const { key = root, service = 'iam' } = options
    const version = service === 'iam' ? '2010-05-08' : '2011-06-15'
    const body = new URLSearchParams({ Action: action, Version: version, ...params }).toString()
    const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' }
    const { host } = new URL(store.url)
    if (key !== null) Object.assign(headers, signed(key, { body, service, host }))
    const response = await fetch(`${store.url}/`, {
      method: 'POST',
      headers,
      body: options.body ?? body,
    })
    const text = await response.text()
    const code = /<Code>(.*?)<\/Code>/.exec(text)?.[1] ?? ''
    return { status: response.status, code, text, outcome: code === '' ? 'done' : code }
  }

  /** A request of S3's: its status and the code of its error. */
  async function s3(
    method: string,
    path: string,
    key: SessionKey,
    body = '',
    more: Params = {},
  ): Promise<string> {
    const { token } = key
    const headers = { ...more, ...(token !== undefined && { 'x-amz-security-token': token }) }
    const { status, code } = await sendSigned(store.port, { method, path, key, body, headers })
    return `${status} ${code}`.trim()
  }

  /** The key of a new user. */
  async function userKey(name: string, more: Params = {}): Promise<SessionKey> {
    assert.equal((await call('CreateUser', { UserName: name, ...more })).outcome, 'done')
    return keyIn((await call('CreateAccessKey', { UserName: name })).text)
  }

  return { call, s3, userKey }
}

/** As AWS signs services other than S3: the body's hash stands in no header. */
function signed(
  key: SessionKey,
  asked: { readonly body: string; readonly service: string; readonly host: string },
) {
  const { body, service, host } = asked
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const sent = {
    'x-amz-date': timestamp,
    ...(key.token !== undefined && { 'x-amz-security-token': key.token }),
  }
  const payloadHash = createHash('sha256').update(body).digest('hex')
  const headers = { host, ...sent }
  const request = { method: 'POST', path: '/', headers, payloadHash, timestamp, key, service }
  return { ...sent, authorization: signV4(request) }
}

/** The text of the first element of the name. */
export function element(text: string, name: string): string {
  const value = new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(text)?.[1]
  assert.ok(value !== undefined, `${name} in ${text}`)
  return value.replaceAll('&quot;', '"')
}

/** The credentials in an answer. */
export function keyIn(text: string): SessionKey {
  return {
    accessKeyId: element(text, 'AccessKeyId'),
    secretAccessKey: element(text, 'SecretAccessKey'),
    ...(text.includes('<SessionToken>') && { token: element(text, 'SessionToken') }),
  }
}

/** A policy of one statement. */
export function policy(
  Action: string | readonly string[],
  Resource: string | readonly string[] = '*',
  Effect: 'Allow' | 'Deny' = 'Allow',
): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: { Effect, Action, Resource } })
}
