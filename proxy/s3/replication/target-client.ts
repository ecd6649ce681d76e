/** Requests to a bucket elsewhere, signed with its keys (Version 4, the body not: checksums are sent with it). */
import { isIP } from 'node:net'
import type { Readable } from 'node:stream'
import { Agent } from 'undici'
import type { Clock } from '../../../common/clock.ts'
import { isPublicAddress, publicLookup } from '../../../common/http/public-address.ts'
import { canonicalRequest, escapeBytes, queryPairs } from '../signature/canonical.ts'
import { SigningKeys } from '../signature/signing-keys.ts'
import { sha256Hex } from '../signature/verify.ts'
import type { ReplicationPlace } from './replication-target.ts'

/** Of silence. */
const ANSWER_MS = 60_000
/** A completion of ten thousand parts takes its time. */
const COMPLETION_MS = 300_000
const CONNECTIONS_MAX = 16
const ANSWER_BYTES_MAX = 1024 * 1024
const UNSIGNED = 'UNSIGNED-PAYLOAD'

export interface TargetRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  readonly key: string
  /** Escaped. */
  readonly query?: string
  /** Names in lower case, values as on the wire. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Readable | Buffer
}

export interface TargetAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export class TargetClient {
  readonly #place: ReplicationPlace
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #agent: Agent
  /** Of this day and the one before. */
  readonly #keys = new SigningKeys({ keysMax: 2 })

  constructor(place: ReplicationPlace, clock: Pick<Clock, 'nowMs'>) {
    this.#place = place
    this.#clock = clock
    this.#agent = new Agent({
      connections: CONNECTIONS_MAX,
      headersTimeout: COMPLETION_MS,
      bodyTimeout: ANSWER_MS,
      // The name is looked up for the connection itself: no other answer can come in between.
      connect: { timeout: ANSWER_MS, ...(!place.target.isPrivate && { lookup: publicLookup }) },
    })
  }

  get keepsIds(): boolean {
    return this.#place.target.isSwiftlet === true
  }

  /** The answer, whatever its status; no redirection is followed. */
  async send(asked: TargetRequest, signal: AbortSignal): Promise<TargetAnswer> {
    const { target, bucket } = this.#place
    const base = new URL(target.endpoint)
    checkAddress(target.isPrivate === true, base)
    const path = `/${bucket}/${escapeBytes(Buffer.from(asked.key).toString('latin1'), { slashes: true })}`
    const url = asked.query === undefined ? path : `${path}?${asked.query}`
    const answer = await this.#agent.request({
      origin: base.origin,
      // As it was signed: an URL would resolve the dots in a key.
      path: url,
      method: asked.method,
      headers: this.#signed(asked, { host: base.host, url }),
      signal,
      ...(asked.body !== undefined && { body: asked.body }),
    })
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(answer.headers)) headers[name] = String(value)
    return { status: answer.statusCode, headers, body: await textOf(answer.body) }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  #signed(
    { method, headers: own = {} }: TargetRequest,
    { host, url }: { readonly host: string; readonly url: string },
  ): Record<string, string> {
    const { accessKeyId, secretAccessKey, region = 'us-east-1' } = this.#place.target
    const time = new Date(this.#clock.nowMs()).toISOString().replace(/[-:]|\.\d{3}/g, '')
    const headers: Record<string, string> = {
      ...own,
      host,
      'x-amz-date': time,
      'x-amz-content-sha256': UNSIGNED,
    }
    const names = Object.keys(headers).sort()
    const query = queryPairs(url.split('?')[1] ?? '')
    const canonical = canonicalRequest(
      { method, url, headers },
      { headers: names, payloadHash: UNSIGNED, query },
    )
    const day = time.slice(0, 8)
    const scope = { day, region, service: 's3', text: `${day}/${region}/s3/aws4_request` }
    const text = ['AWS4-HMAC-SHA256', time, scope.text, sha256Hex(canonical)].join('\n')
    const signature = this.#keys.get(secretAccessKey, scope).hex(text)
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope.text}, SignedHeaders=${names.join(';')}, Signature=${signature}`
    return headers
  }
}

/** Addresses themselves are not looked up: those of the own network are refused here. */
function checkAddress(isPrivate: boolean, { hostname }: URL): void {
  const address = hostname.replace(/^\[|\]$/g, '')
  if (isPrivate || isIP(address) === 0 || isPublicAddress(address)) return
  throw new Error(`${hostname} is no host of the internet`)
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of body) {
    bytes += piece.length
    if (bytes > ANSWER_BYTES_MAX) throw new Error('the answer is too long')
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}
