/** A plain HTTP client for black-box tests: nothing is normalised, every byte of the path is as given. */
import { Agent, request } from 'node:http'
import { connect } from 'node:net'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  readonly bytes: Buffer
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | AsyncIterable<Uint8Array>
}

export type Call = (method: string, path: string, options?: CallOptions) => Promise<Answer>

/** `close()` ends its connections. */
export function httpClient(port: number): { readonly call: Call; close(): void } {
  const agent = new Agent({ keepAlive: true })
  const call: Call = (method, path, options = {}) =>
    new Promise((resolve, reject) => {
      const { body, headers = {} } = options
      const given = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
      const length: Record<string, string> = given
        ? { 'content-length': String(Buffer.byteLength(body ?? '')) }
        : {}
      const options_ = { agent, port, host: '127.0.0.1', method, path }
      const req = request({ ...options_, headers: { ...length, ...headers } }, (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', reject)
        res.on('end', () => {
          const bytes = Buffer.concat(chunks)
          resolve({
            status: res.statusCode!,
            headers: res.headers as Record<string, string | undefined>,
            body: bytes.toString(),
            bytes,
          })
        })
      })
      req.on('error', reject)
      // As bytes: Node writes the head in the encoding of a text body.
      if (given) req.end(body === undefined ? undefined : Buffer.from(body))
      else pour(body, req).catch(reject)
    })
  return { call, close: () => agent.destroy() }
}

/** The client of one who has signed in by `/auth/v1.0`: each call brings the token, unless it says otherwise. */
export async function signIn(call: Call, user: string, key: string): Promise<Call> {
  const headers = { 'x-auth-user': user, 'x-auth-key': key }
  const token = (await call('GET', '/auth/v1.0', { headers })).headers['x-auth-token']!
  return (method, path, options = {}) =>
    call(method, path, { ...options, headers: { 'x-auth-token': token, ...options.headers } })
}

async function pour(
  body: AsyncIterable<Uint8Array>,
  req: { write(piece: Uint8Array): boolean; end(): void },
): Promise<void> {
  for await (const piece of body) req.write(piece)
  req.end()
}

/** Sends raw bytes and gives back all that comes until the other side closes. */
export function rawExchange(
  port: number,
  bytes: string | Buffer,
  options: { readonly halfClose?: boolean } = {},
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(text))
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    if (options.halfClose === true) socket.end()
  })
}

/** The statuses of the answers in a raw stream. */
export function statusesIn(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
}
