/** The same small objects by the S3 API and by the Swift API, in turns, so that their cost can be compared. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { LoadProcess } from '../load/load-process.ts'
import type { S3Signing } from '../load/s3-signer.ts'
import { type Measurement, measurementOf, medianOf } from '../measurement.ts'
import { treeUsage } from '../process-usage.ts'
import { freePort, startStore, storeCredentials } from '../store-process.ts'

export interface S3BenchOptions {
  /** Where data goes: a file system on a real disk. */
  readonly folder: string
  readonly threads: number
  readonly rounds: number
  readonly secondsPerRun: number
  /** Each kind of request is sent so long before anything is measured. */
  readonly warmSeconds: number
}

export interface S3BenchRow {
  readonly method: 'PUT' | 'GET'
  readonly swift: Measurement
  readonly s3: Measurement
  /** CPU of a request of S3 as a multiple of the other's: the median of the rounds' ratios. */
  readonly cpuRatio: number
}

const BODY_BYTES = 4096
const CONCURRENCY = 64
/** Objects that GETs ask for. */
const STORED = 2000
const CONTAINER = 'bench'
const APIS = ['swift', 's3'] as const
type Api = (typeof APIS)[number]

/** How requests of an API begin and who sends them. */
interface Entrance {
  readonly prefix: string
  readonly headers: Readonly<Record<string, string>>
  readonly signing?: S3Signing
}

interface Rig {
  readonly pid: number
  readonly port: number
  readonly entrances: Readonly<Record<Api, Entrance>>
  readonly load: LoadProcess
}

export async function runS3Bench(options: S3BenchOptions): Promise<readonly S3BenchRow[]> {
  const folder = await mkdtemp(join(options.folder, 'swiftlet-bench-'))
  const port = await freePort()
  const extraArguments = ['--threads', String(options.threads)]
  const store = await startStore({ dataFolder: folder, port, extraArguments })
  const load = await LoadProcess.start()
  try {
    const rig = { pid: store.pid, port, load, entrances: await enter(folder, store.origin) }
    for (const api of APIS) await send(rig, api, 'PUT', { label: 'get', requestCount: STORED })
    const rows: S3BenchRow[] = []
    for (const method of ['PUT', 'GET'] as const) rows.push(await measure(rig, method, options))
    return rows
  } finally {
    await load.close()
    await store.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure(
  rig: Rig,
  method: 'PUT' | 'GET',
  options: S3BenchOptions,
): Promise<S3BenchRow> {
  const warm = { label: label(method, 'warm'), seconds: options.warmSeconds }
  for (const api of APIS) await send(rig, api, method, warm)
  const runs: Record<Api, Measurement[]> = { swift: [], s3: [] }
  for (let round = 0; round < options.rounds; round++) {
    const run = { label: label(method, `${round}`), seconds: options.secondsPerRun }
    for (const api of round % 2 === 0 ? APIS : APIS.toReversed())
      runs[api].push(await send(rig, api, method, run))
  }
  const ratios = runs.s3.map(({ serverCpuUs }, i) => serverCpuUs / runs.swift[i]!.serverCpuUs)
  return {
    method,
    swift: medianOf(runs.swift),
    s3: medianOf(runs.s3),
    cpuRatio: ratios.sort((a, b) => a - b)[ratios.length >> 1]!,
  }
}

/** GETs ask for what is there, PUTs make new objects in each round. */
function label(method: 'PUT' | 'GET', round: string): string {
  return method === 'GET' ? 'get' : round
}

async function send(
  rig: Rig,
  api: Api,
  method: 'PUT' | 'GET',
  run: { readonly label: string; readonly seconds?: number; readonly requestCount?: number },
): Promise<Measurement> {
  const { prefix, ...who } = rig.entrances[api]
  const before = treeUsage(rig.pid)
  const result = await rig.load.run({
    ...who,
    port: rig.port,
    method,
    pathPrefix: `${prefix}/${api}-${run.label}-`,
    nameCount: method === 'GET' ? STORED : 1e9,
    bytes: BODY_BYTES,
    concurrency: CONCURRENCY,
    durationMs: (run.seconds ?? 0) * 1000,
    ...(run.requestCount !== undefined && { requestCount: run.requestCount }),
  })
  if (result.failures > 0) {
    throw new Error(`${api} ${method}: ${JSON.stringify(result.failureStatuses)}`)
  }
  return measurementOf(result, { bytes: BODY_BYTES, before, after: treeUsage(rig.pid) })
}

/** The admin, by a token and by a key for S3 of the same project, and a container. */
async function enter(folder: string, origin: string): Promise<Rig['entrances']> {
  const { user, key } = await storeCredentials(folder)
  const signIn = await fetch(`${origin}/auth/v1.0`, {
    headers: { 'x-auth-user': user, 'x-auth-key': key },
  })
  const headers = { 'x-auth-token': signIn.headers.get('x-auth-token') ?? '' }
  const account = new URL(signIn.headers.get('x-storage-url') ?? '').pathname
  const prefix = `${account}/${CONTAINER}`
  const made = await fetch(origin + prefix, { method: 'PUT', headers })
  if (made.status >= 300) throw new Error(`the container was not made: ${made.status}`)
  const signing = await makeKey(folder, headers['x-auth-token'])
  return {
    swift: { prefix, headers },
    s3: { prefix: `/${CONTAINER}`, headers: {}, signing },
  }
}

async function makeKey(folder: string, token: string): Promise<S3Signing> {
  const endpoints = JSON.parse(await readFile(join(folder, 'endpoints.json'), 'utf8'))
  const v3 = `${(endpoints as { readonly identity: string }).identity}/v3`
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
  const asked = await fetch(`${v3}/auth/tokens`, {
    headers: { ...headers, 'x-subject-token': token },
  })
  const { token: holder } = (await asked.json()) as {
    readonly token: { readonly user: { readonly id: string }; readonly project: { id: string } }
  }
  const made = await fetch(`${v3}/users/${holder.user.id}/credentials/OS-EC2`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ tenant_id: holder.project.id }),
  })
  if (!made.ok) throw new Error(`no key for S3: ${made.status} ${await made.text()}`)
  const { credential } = (await made.json()) as {
    readonly credential: { readonly access: string; readonly secret: string }
  }
  return { accessKey: credential.access, secretKey: credential.secret, region: 'us-east-1' }
}
