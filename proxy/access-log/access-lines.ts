import type { Exchange } from '../exchange.ts'
import { titleCase } from '../swift/metadata.ts'
import { fromWire } from '../wire-text.ts'
import { capped, loggedHeader, withoutSecrets } from './log-secrets.ts'
import { compileTemplate, DEFAULT_TEMPLATE, type LogValues } from './log-template.ts'

/** The options of Swift's proxy-logging. */
export interface AccessLogOptions {
  /** Swift's `log_msg_template`; Swift's own by default. */
  readonly template?: string
  /** Of `{….anonymized}`: a digest's name. */
  readonly anonymizationMethod?: string
  readonly anonymizationSalt?: string
  /** Whether `{headers}` are the request's. */
  readonly headers?: boolean
  /** Only these of them; all if there are none. */
  readonly headersOnly?: readonly string[]
  /** So many characters of a token, key or signature are shown. */
  readonly revealSensitivePrefix?: number
}

const DEFAULTS = {
  template: DEFAULT_TEMPLATE,
  anonymizationMethod: 'md5',
  anonymizationSalt: '',
  headers: false,
  headersOnly: [],
  revealSensitivePrefix: 16,
} satisfies Required<AccessLogOptions>

/** How a request ended. */
export interface RequestEnd {
  readonly status: number
  readonly durationMs: number
}

/** Access log lines as an operator of Swift knows them. */
export class AccessLines {
  readonly #options: Required<AccessLogOptions>
  readonly #format: (values: LogValues) => string
  readonly #headersOnly: ReadonlySet<string>

  /** Throws a RangeError for a template or method that is none. */
  constructor(options: AccessLogOptions) {
    this.#options = { ...DEFAULTS, ...options }
    const { template, anonymizationMethod: method, anonymizationSalt: salt } = this.#options
    this.#format = compileTemplate(template, { method, salt })
    this.#headersOnly = new Set(this.#options.headersOnly.map((name) => name.toLowerCase()))
  }

  lineOf(exchange: Exchange, { status, durationMs }: RequestEnd): string {
    const { path, socket } = exchange
    const { revealSensitivePrefix: charsMax } = this.#options
    const endMs = exchange.proxy.clock.nowMs()
    const token = exchange.header('x-auth-token') ?? exchange.header('x-storage-token')
    const seconds = (durationMs / 1000).toFixed(4)
    return this.#format({
      ...whoAsks(exchange),
      start_time: endMs - durationMs,
      end_time: endMs,
      remote_addr: textOf(socket.remoteAddress),
      path: withoutSecrets(exchange.url, charsMax),
      headers: this.#headersOf(exchange),
      account: textOf(path?.account),
      container: textOf(path?.container),
      object: textOf(path?.object),
      method: exchange.method,
      protocol: 'HTTP/1.1',
      status_int: String(status),
      wire_status_int: String(status),
      auth_token: token === undefined ? '' : capped(token, charsMax),
      bytes_recvd: exchange.bytesIn === 0 ? '' : String(exchange.bytesIn),
      bytes_sent: exchange.bytesOut === 0 ? '' : String(exchange.bytesOut),
      transaction_id: exchange.transId,
      request_time: seconds,
      source: textOf(exchange.authority?.by),
      policy_index: textOf(exchange.policyIndex?.toString()),
      pid: String(process.pid),
    })
  }

  #headersOf({ headers }: Exchange): string {
    if (!this.#options.headers) return ''
    return Object.entries(headers)
      .filter(([name]) => this.#headersOnly.size === 0 || this.#headersOnly.has(name))
      .map(([name, value]) => {
        const text = Array.isArray(value) ? value.join(', ') : (value ?? '')
        return `${titleCase(name)}: ${loggedHeader(name, text, this.#options.revealSensitivePrefix)}`
      })
      .join('\n')
  }
}

/** What the client says of itself. */
function whoAsks(exchange: Exchange) {
  const forwarded = exchange.header('x-forwarded-for')?.split(',')[0]?.trim()
  const client = exchange.header('x-cluster-client-ip') || forwarded
  return {
    client_ip: client || textOf(exchange.socket.remoteAddress),
    domain: textOf(exchange.header('host')?.replace(/:\d*$/, '')),
    referer: textOf(exchange.header('referer')),
    user_agent: textOf(exchange.header('user-agent')),
    client_etag: textOf(exchange.header('etag')),
    access_user_id: textOf(exchange.accessKey),
  }
}

/** Headers are latin1 as they came; what is not UTF-8 stays so. */
function textOf(value: string | undefined): string {
  return value === undefined ? '' : (fromWire(value) ?? value)
}
