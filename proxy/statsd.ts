import { createSocket, type Socket } from 'node:dgram'
import type { Random } from '../common/random.ts'
import type { FinishedRequest } from './request-metrics.ts'

export interface StatsdOptions {
  readonly host: string
  readonly port?: number
  /** Before every name. */
  readonly prefix?: string
  /** Of all requests, the share that is told: 0 to 1. */
  readonly sampleRate?: number
}

const DEFAULTS = { port: 8125, prefix: '', sampleRate: 1 } satisfies Partial<StatsdOptions>
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'OPTIONS', 'UPDATE'])

/**
 * Tells a StatsD server of every request, by Swift's names: `proxy-server.object.GET.200.timing`, `….xfer`. One datagram a
 * request, and nobody waits for it: what is lost is lost.
 */
export class Statsd {
  readonly #options: Required<StatsdOptions>
  readonly #random: Random
  readonly #socket: Socket

  constructor(options: StatsdOptions, random: Random) {
    this.#options = { ...DEFAULTS, ...options }
    this.#random = random
    this.#socket = createSocket(options.host.includes(':') ? 'udp6' : 'udp4')
    this.#socket.on('error', () => {})
    this.#socket.unref()
  }

  count(request: FinishedRequest): void {
    const { host, port, sampleRate } = this.#options
    if (sampleRate < 1 && this.#random.below(1_000_000) >= sampleRate * 1_000_000) return
    this.#socket.send(statsdLines(request, this.#options), port, host, () => {})
  }

  close(): void {
    this.#socket.close()
  }
}

/** What is sent for a request. */
export function statsdLines(
  request: FinishedRequest,
  options: Pick<Required<StatsdOptions>, 'prefix' | 'sampleRate'>,
): string {
  const { method, kind, status, durationMs, bytesIn, bytesOut } = request
  const { prefix, sampleRate } = options
  const type = kind === 'other' ? 'UNKNOWN' : kind
  const verb = METHODS.has(method) ? method : 'BAD_METHOD'
  const head = `${prefix === '' ? '' : `${prefix}.`}proxy-server.${type}.${verb}.${status}`
  const share = sampleRate < 1 ? `|@${sampleRate}` : ''
  return [
    `${head}.timing:${durationMs.toFixed(3)}|ms${share}`,
    `${head}.xfer:${bytesIn + bytesOut}|c${share}`,
  ].join('\n')
}
