import type { S3Signing } from './s3-signer.ts'

/** What a load generator is told to do. Plain data: it crosses a process border. */
export interface LoadPlan {
  readonly port: number
  readonly method: 'PUT' | 'GET'
  /** Requests go to `pathPrefix` + number, in turn. */
  readonly pathPrefix: string
  /** Numbers run from 0 to below it, then again from 0. */
  readonly nameCount: number
  readonly bytes: number
  /** Connections, each with one request in flight. */
  readonly concurrency: number
  readonly headers: Readonly<Record<string, string>>
  /** Each request is signed as S3 has it. */
  readonly signing?: S3Signing
  /** Requests are started for this long; or, if given, exactly `requestCount` of them. */
  readonly durationMs: number
  readonly requestCount?: number
}

/** What it measured. Times are in milliseconds. */
export interface LoadResult {
  readonly requests: number
  /** Answers that were not 200 or 201, or bodies of another length than wanted. */
  readonly failures: number
  /** How many answers of each status the failures were. */
  readonly failureStatuses: Readonly<Record<number, number>>
  readonly elapsedMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** CPU time of the generator itself. */
  readonly generatorCpuMs: number
}

/** The value below which the share of the sorted values lies. */
export function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return 0
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}
