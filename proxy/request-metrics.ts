import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export const REQUEST_KINDS = ['account', 'container', 'object', 'other'] as const
/** What a request is about. */
export type RequestKind = (typeof REQUEST_KINDS)[number]

export interface FinishedRequest {
  readonly method: string
  readonly kind: RequestKind
  readonly status: number
  readonly durationMs: number
  readonly bytesIn: number
  readonly bytesOut: number
}

interface Tally {
  readonly method: string
  readonly kind: RequestKind
  readonly status: number
  requests: number
  bytesIn: number
  bytesOut: number
  /** Requests by DURATION_BOUNDS; the last is what took longer. */
  readonly durations: number[]
}

const DURATION_BOUNDS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 30_000]
/** Methods are the client's words: unknown ones are counted together. */
const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY', 'OPTIONS'])

/**
 * Counts requests in plain numbers and hands them to prom-client only when somebody scrapes: its own counters hash
 * their labels at every increment, several microseconds a request.
 */
export class RequestMetrics {
  readonly #tallies: Tally[] = []
  /** By method, then kind and status in one number: a composed text would have to be hashed anew for each request. */
  readonly #byMethod = new Map<string, Map<number, Tally>>()
  inFlight = 0

  constructor(registry: Registry) {
    const tallies = this.#tallies
    const labelNames = ['method', 'type', 'status'] as const
    const register = (name: string, help: string, value: (tally: Tally) => number) => {
      new Counter({
        name,
        help,
        labelNames,
        registers: [registry],
        collect() {
          this.reset()
          for (const tally of tallies) this.inc(labelsOf(tally), value(tally))
        },
      })
    }
    register('swiftlet_proxy_requests_total', 'Requests answered', (tally) => tally.requests)
    register('swiftlet_proxy_received_bytes_total', 'Bytes of request bodies', (t) => t.bytesIn)
    register(
      'swiftlet_proxy_sent_bytes_total',
      'Bytes of response bodies',
      (tally) => tally.bytesOut,
    )
    this.#registerDurations(registry)
    const inFlight = () => this.inFlight
    new Gauge({
      name: 'swiftlet_proxy_requests_in_flight',
      help: 'Requests being answered',
      registers: [registry],
      collect() {
        this.set(inFlight())
      },
    })
  }

  count(request: FinishedRequest): void {
    const method = METHODS.has(request.method) ? request.method : 'other'
    const tally = this.#tallyOf(method, request)
    tally.requests++
    tally.bytesIn += request.bytesIn
    tally.bytesOut += request.bytesOut
    let bucket = 0
    while (bucket < DURATION_BOUNDS_MS.length && request.durationMs > DURATION_BOUNDS_MS[bucket]!) {
      bucket++
    }
    tally.durations[bucket]!++
    tally.durations[DURATION_BOUNDS_MS.length + 1]! += request.durationMs
  }

  #tallyOf(method: string, request: FinishedRequest): Tally {
    let byKey = this.#byMethod.get(method)
    if (byKey === undefined) {
      byKey = new Map()
      this.#byMethod.set(method, byKey)
    }
    const key = REQUEST_KINDS.indexOf(request.kind) * 1000 + request.status
    let tally = byKey.get(key)
    if (tally === undefined) {
      tally = newTally(method, request)
      byKey.set(key, tally)
      this.#tallies.push(tally)
    }
    return tally
  }

  /** The shape of a prom-client histogram, filled from the tallies at each scrape. */
  #registerDurations(registry: Registry): void {
    const tallies = this.#tallies
    const name = 'swiftlet_proxy_request_seconds'
    const histogram = new Histogram({
      name,
      help: 'Time from the request head to the last byte of the answer',
      labelNames: ['method', 'type', 'status'],
      buckets: DURATION_BOUNDS_MS.map((bound) => bound / 1000),
      registers: [registry],
    })
    const values = () => tallies.flatMap((tally) => durationValues(name, tally))
    const { help, type, aggregator } = histogram as unknown as HistogramFace
    const get = async () => ({ name, help, type, aggregator, values: values() })
    Object.assign(histogram, { get, getForPromString: get })
  }
}

interface HistogramFace {
  readonly help: string
  readonly type: string
  readonly aggregator: string
}

interface MetricValue {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

function newTally(method: string, request: FinishedRequest): Tally {
  return {
    method,
    kind: request.kind,
    status: request.status,
    requests: 0,
    bytesIn: 0,
    bytesOut: 0,
    durations: new Array<number>(DURATION_BOUNDS_MS.length + 2).fill(0),
  }
}

function labelsOf(tally: Tally): { method: string; type: string; status: number } {
  return { method: tally.method, type: tally.kind, status: tally.status }
}

function durationValues(name: string, tally: Tally): MetricValue[] {
  const labels = labelsOf(tally)
  let below = 0
  const buckets = DURATION_BOUNDS_MS.map((bound, i): MetricValue => {
    below += tally.durations[i]!
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bound / 1000 }, value: below }
  })
  const sumMs = tally.durations[DURATION_BOUNDS_MS.length + 1]!
  return [
    ...buckets,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: tally.requests },
    { metricName: `${name}_sum`, labels, value: sumMs / 1000 },
    { metricName: `${name}_count`, labels, value: tally.requests },
  ]
}
