import { Pool } from 'undici'

/** What one kind of call costs. */
export interface IdentityFigure {
  readonly call: string
  /** Calls in flight. */
  readonly concurrency: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of one answer. */
  readonly bodyBytes: number
}

/** A Keystone that is measured, and its administrator. */
export interface IdentityPlace {
  readonly origin: string
  readonly password: string
  /** It ends a connection after each answer, as uWSGI does. */
  readonly closes?: boolean
}

type Send = (pool: Pool, token: string) => Promise<{ readonly status: number; bytes: number }>

interface Call {
  readonly name: string
  readonly wanted: number
  /** Takes seconds where there are many users: one at once is enough. */
  readonly isLong?: boolean
  readonly send: Send
}

const DOMAIN = { id: 'default' }
const SCOPE = { project: { name: 'admin', domain: DOMAIN } }

/** The calls that services and clients make most, and the lists that grow with the users. */
export function identityCalls(password: string): readonly Call[] {
  const user = { name: 'admin', domain: DOMAIN, password }
  return [
    { name: 'validate a token', wanted: 200, send: get('/v3/auth/tokens', true) },
    {
      name: 'issue by token',
      wanted: 201,
      send: (pool, token) => issue(pool, { methods: ['token'], token: { id: token } }),
    },
    {
      name: 'issue by password',
      wanted: 201,
      send: (pool) => issue(pool, { methods: ['password'], password: { user } }),
    },
    {
      name: 'find a user by name',
      wanted: 200,
      send: get('/v3/users?name=admin&domain_id=default'),
    },
    { name: 'list users', wanted: 200, isLong: true, send: get('/v3/users') },
  ]
}

/** Calls for so long, with so many in flight. Throws if one is not answered as it should be. */
export async function measureCall(
  { origin, password, closes = false }: IdentityPlace,
  call: Call,
  { concurrency, seconds }: { readonly concurrency: number; readonly seconds: number },
): Promise<IdentityFigure> {
  // Undici sends no second request over a connection where nothing may be pipelined.
  const pool = new Pool(origin, { connections: concurrency, pipelining: closes ? 0 : 1 })
  const token = await signIn(pool, password)
  const timesMs: number[] = []
  let bodyBytes = 0
  const startMs = performance.now()
  const endMs = startMs + seconds * 1000
  const client = async () => {
    do {
      const sentMs = performance.now()
      const { status, bytes } = await call.send(pool, token)
      if (status !== call.wanted) throw new Error(`${call.name}: ${status}`)
      timesMs.push(performance.now() - sentMs)
      bodyBytes = bytes
    } while (performance.now() < endMs)
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  const elapsedMs = performance.now() - startMs
  await pool.close()
  timesMs.sort((a, b) => a - b)
  const at = (share: number) =>
    timesMs[Math.min(timesMs.length - 1, Math.floor(timesMs.length * share))]!
  return {
    call: call.name,
    concurrency,
    perSecond: (timesMs.length / elapsedMs) * 1000,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    bodyBytes,
  }
}

async function signIn(pool: Pool, password: string): Promise<string> {
  const user = { name: 'admin', domain: DOMAIN, password }
  const identity = { methods: ['password'], password: { user } }
  const { headers, body } = await post(pool, identity)
  await body.dump()
  return String(headers['x-subject-token'])
}

function post(pool: Pool, identity: unknown) {
  return pool.request({
    method: 'POST',
    path: '/v3/auth/tokens',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ auth: { identity, scope: SCOPE } }),
  })
}

async function issue(pool: Pool, identity: unknown) {
  const { statusCode: status, body } = await post(pool, identity)
  return { status, bytes: (await body.bytes()).length }
}

function get(path: string, ofSubject = false): Send {
  return async (pool, token) => {
    const headers = { 'x-auth-token': token, ...(ofSubject && { 'x-subject-token': token }) }
    const { statusCode: status, body } = await pool.request({ method: 'GET', path, headers })
    return { status, bytes: (await body.bytes()).length }
  }
}
