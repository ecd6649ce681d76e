import { createHash } from 'node:crypto'
import { Pool } from 'undici'
import type { ClusterStatus } from '../../../proxy/status/cluster-status.ts'
import type { ListedRow, ObjectState } from './ledger.ts'

export interface Credentials {
  readonly user: string
  readonly key: string
}

/** A small Swift client over pooled connections. */
export class StoreClient {
  readonly #pool: Pool
  #accountPath = ''
  #token = ''

  constructor(
    origin: string,
    options: {
      readonly connections: number
      /** A Unix socket that leads to the origin. */
      readonly socketPath?: string
    },
  ) {
    this.#pool = new Pool(origin, { ...options, pipelining: 1 })
  }

  get token(): string {
    return this.#token
  }

  /** `/v1/AUTH_…`. */
  get accountPath(): string {
    return this.#accountPath
  }

  async signIn(credentials: Credentials): Promise<void> {
    const answer = await this.#pool.request({
      method: 'GET',
      path: '/auth/v1.0',
      headers: { 'x-auth-user': credentials.user, 'x-auth-key': credentials.key },
    })
    await answer.body.dump()
    if (answer.statusCode >= 300) throw new Error(`sign-in answered ${answer.statusCode}`)
    this.#token = String(answer.headers['x-auth-token'])
    this.#accountPath = new URL(String(answer.headers['x-storage-url'])).pathname
  }

  /** The status; bodies of answers are read and dropped. */
  async send(
    method: 'PUT' | 'DELETE' | 'POST' | 'HEAD',
    path: string,
    options: { readonly body?: Buffer; readonly headers?: Record<string, string> } = {},
  ): Promise<number> {
    const answer = await this.#pool.request({
      method,
      path: this.#accountPath + path,
      headers: { 'x-auth-token': this.#token, ...options.headers },
      body: options.body ?? null,
    })
    await answer.body.dump()
    return answer.statusCode
  }

  /** What is there, by the MD5 of the bytes that came; throws for anything but 200 and 404, or a cut body. */
  async read(path: string): Promise<ObjectState> {
    const { status, body } = await this.get(path)
    if (status === 404) return null
    if (status !== 200) throw new Error(`GET ${path} answered ${status}`)
    return { bytes: body.length, md5: createHash('md5').update(body).digest('hex') }
  }

  async get(
    path: string,
  ): Promise<{ readonly status: number; readonly etag: string; readonly body: Buffer }> {
    const answer = await this.#pool.request({
      method: 'GET',
      path: this.#accountPath + path,
      headers: { 'x-auth-token': this.#token },
    })
    const body = Buffer.from(await answer.body.arrayBuffer())
    return { status: answer.statusCode, etag: String(answer.headers.etag ?? ''), body }
  }

  /** What an operator sees of the cluster. */
  async status(): Promise<ClusterStatus> {
    const headers = { 'x-auth-token': this.#token }
    const answer = await this.#pool.request({ method: 'GET', path: '/status.json', headers })
    if (answer.statusCode !== 200) throw new Error(`/status.json answered ${answer.statusCode}`)
    return (await answer.body.json()) as ClusterStatus
  }

  /** The whole listing of a container, page by page. */
  async list(container: string): Promise<ListedRow[]> {
    const rows: ListedRow[] = []
    for (;;) {
      const marker = encodeURIComponent(rows.at(-1)?.name ?? '')
      const { status, body } = await this.get(
        `/${container}?format=json&limit=10000&marker=${marker}`,
      )
      if (status !== 200) throw new Error(`listing of ${container} answered ${status}`)
      const page = JSON.parse(body.toString()) as ListedRow[]
      if (page.length === 0) return rows
      rows.push(...page)
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
