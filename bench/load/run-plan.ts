import { KeepAliveConnection, type WireRequest } from './keep-alive-connection.ts'
import { type LoadPlan, type LoadResult, percentile } from './load-plan.ts'
import { s3Signer, sha256 } from './s3-signer.ts'

const PIECE_BYTES = 1024 * 1024
const SAMPLES_MAX = 4_000_000
const SIGNED_AHEAD_MAX = 25_000

/** Runs a plan over raw connections in this process. */
export async function runPlan(plan: LoadPlan): Promise<LoadResult> {
  const connections = await Promise.all(
    Array.from({ length: plan.concurrency }, () => KeepAliveConnection.open(plan.port)),
  )
  const requestAt = requestMaker(plan)
  const cpuBefore = process.cpuUsage()
  const latenciesMs = new Float64Array(SAMPLES_MAX)
  const startMs = performance.now()
  const endMs =
    plan.requestCount === undefined ? startMs + plan.durationMs : Number.POSITIVE_INFINITY
  const requestsMax = Math.min(plan.requestCount ?? SAMPLES_MAX, SAMPLES_MAX)
  let [started, finished, failures] = [0, 0, 0]
  const failureStatuses: Record<number, number> = {}
  const wanted = plan.method === 'GET' ? plan.bytes : null
  const client = async (connection: KeepAliveConnection): Promise<void> => {
    while (started < requestsMax) {
      const sentMs = performance.now()
      if (sentMs >= endMs) return
      const answer = await connection.send(requestAt(started++))
      latenciesMs[finished++] = performance.now() - sentMs
      const isFine = answer.status === 200 || answer.status === 201
      if (isFine && (wanted === null || answer.bodyBytes === wanted)) continue
      failures++
      failureStatuses[answer.status] = (failureStatuses[answer.status] ?? 0) + 1
    }
  }
  await Promise.all(connections.map(client))
  const elapsedMs = performance.now() - startMs
  for (const connection of connections) connection.close()
  const cpu = process.cpuUsage(cpuBefore)
  const sorted = latenciesMs.subarray(0, finished).sort()
  return {
    requests: finished,
    failures,
    failureStatuses,
    elapsedMs,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
    maxMs: sorted.at(-1) ?? 0,
    generatorCpuMs: (cpu.user + cpu.system) / 1000,
  }
}

function requestMaker(plan: LoadPlan): (index: number) => WireRequest {
  const { method, signing, pathPrefix } = plan
  const host = 'localhost'
  const headers = Object.entries({ ...(signing === undefined && { host }), ...plan.headers })
  if (method === 'PUT') headers.push(['content-length', String(plan.bytes)])
  const after = `${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  const pieces = Math.max(1, Math.ceil(plan.bytes / PIECE_BYTES))
  if (plan.bytes > PIECE_BYTES && plan.bytes % PIECE_BYTES !== 0)
    throw new Error('bytes are in whole MiB')
  const body = plan.method === 'PUT' ? pseudoRandomBytes(Math.min(plan.bytes, PIECE_BYTES)) : null
  if (signing !== undefined && pieces > 1) throw new Error('signed bodies have one piece')
  const bodyHash = sha256(body ?? '')
  const sign = signing === undefined ? () => '' : s3Signer(signing)
  const headOf = (number: number): string => {
    const path = pathPrefix + number
    return `${method} ${path} HTTP/1.1\r\n${sign({ method, path, host, bodyHash })}${after}`
  }
  // Signed before the clock runs: else the generator would be what is measured.
  const count = signing === undefined ? 0 : Math.min(plan.nameCount, SIGNED_AHEAD_MAX)
  const signed = Array.from({ length: count }, (_, number) => headOf(number))
  return (index) => {
    const number = index % plan.nameCount
    return { head: signed[number] ?? headOf(number), body, bodyRepeat: pieces }
  }
}

/** Bytes that do not compress. */
function pseudoRandomBytes(count: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(count)
  let state = 0x9e3779b9
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}
