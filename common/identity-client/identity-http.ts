import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import fetch, { type Response } from 'node-fetch'
import type { Clock } from '../clock.ts'
import { ServiceError, systemErrorCode } from '../errors.ts'

export interface IdentityHttpOptions {
  /** Where the identity service is: `http://127.0.0.1:5000`, with or without `/v3`. */
  readonly url: string
  readonly clock: Clock
  /** PEM: over HTTPS the one certificate that is taken, whatever name stands in it. */
  readonly certificate?: string
  /** A request takes no longer, its answer's body included. */
  readonly timeoutMs?: number
  /** Of an answer's body; a longer one is a failure. */
  readonly bodyBytesMax?: number
  /** Connections at once. */
  readonly connectionsMax?: number
  /** Requests at once, those that wait for a connection included; more are refused with 503. */
  readonly requestsMax?: number
}

const DEFAULTS = {
  timeoutMs: 10_000,
  bodyBytesMax: 32 * 1024 * 1024,
  connectionsMax: 16,
  requestsMax: 512,
} satisfies Partial<IdentityHttpOptions>

export interface IdentityRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** From the root: `/v3/auth/tokens`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

export interface IdentityAnswer {
  readonly status: number
  /** Null if the header is not there. */
  header(name: string): string | null
  /** What the body's JSON says; null if there is none. */
  readonly body: unknown
}

/** What a connection may fail with before the other side has seen the request: it was closed while it was idle. */
const STALE_CONNECTION = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'])

/** Requests to the identity service: JSON both ways, with deadlines and bounds. Every failure is a 503. */
export class IdentityHttp {
  readonly #origin: string
  readonly #options: Required<Omit<IdentityHttpOptions, 'certificate'>>
  readonly #agent: HttpAgent
  #running = 0

  constructor(options: IdentityHttpOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#origin = originOf(options.url)
    const agent = { keepAlive: true, maxSockets: this.#options.connectionsMax }
    this.#agent = this.#origin.startsWith('https:')
      ? new HttpsAgent({ ...agent, ...pinned(options.certificate) })
      : new HttpAgent(agent)
  }

  /** The service's address without a version. */
  get origin(): string {
    return this.#origin
  }

  /** The answer, whatever its status but 5xx. Throws 503 `IdentityUnavailable` if there is none in time. */
  async send(request: IdentityRequest): Promise<IdentityAnswer> {
    if (this.#running >= this.#options.requestsMax) throw unavailable('too many requests at once')
    this.#running++
    try {
      return await this.#sendOnce(request).catch((error: unknown) => {
        if (STALE_CONNECTION.has(systemErrorCode(error) ?? '')) return this.#sendOnce(request)
        throw error
      })
    } catch (cause) {
      if (cause instanceof ServiceError) throw cause
      throw unavailable(`${request.method} ${request.path}: ${messageOf(cause)}`, cause)
    } finally {
      this.#running--
    }
  }

  /** Ends the connections. */
  close(): void {
    this.#agent.destroy()
  }

  async #sendOnce(request: IdentityRequest): Promise<IdentityAnswer> {
    const { clock, timeoutMs, bodyBytesMax } = this.#options
    const abort = new AbortController()
    const cancel = clock.after(timeoutMs, () => abort.abort())
    try {
      const response = await fetch(this.#origin + request.path, {
        method: request.method,
        headers: {
          accept: 'application/json',
          ...(request.body !== undefined && { 'content-type': 'application/json' }),
          ...request.headers,
        },
        ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
        agent: this.#agent,
        signal: abort.signal,
        redirect: 'error',
        size: bodyBytesMax,
      })
      return await answerOf(response, request)
    } finally {
      cancel()
    }
  }
}

/** A 503 that says what could not be asked; the reason goes to the log only. */
export function unavailable(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('IdentityUnavailable', `identity service: ${reason}`, {
    status: 503,
    retryAfterSeconds: 2,
    cause,
  })
}

async function answerOf(response: Response, request: IdentityRequest): Promise<IdentityAnswer> {
  const text = await response.text()
  if (response.status >= 500) {
    throw unavailable(`${request.method} ${request.path} is answered ${response.status}`)
  }
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    body: parseBody(text),
  }
}

function pinned(certificate: string | undefined): object {
  return certificate === undefined ? {} : { ca: certificate, checkServerIdentity: () => undefined }
}

/** Null for what is no JSON: a page that some proxy in between has put in. */
function parseBody(text: string): unknown {
  try {
    return text === '' ? null : JSON.parse(text)
  } catch {
    return null
  }
}

function originOf(url: string): string {
  return url.replace(/\/+$/, '').replace(/\/v3$/, '')
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
