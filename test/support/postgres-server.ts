/** Debian's PostgreSQL, started by a test in a folder of its own, reached by a socket there alone. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { Test } from 'tap'
import { randomId, systemRandom } from '../../common/random.ts'

const DEBIAN_FOLDER = '/usr/lib/postgresql'
/** Wanted of a server that replays its log, too. */
const READY_TRIES_MAX = 1500

/** Whom the server runs as where the test is root, as which it refuses to. */
interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/** Where Debian has the newest server's programs, or why its tests are skipped. */
export function postgresPrograms(): { readonly folder: string } | { readonly missing: string } {
  try {
    const versions = readdirSync(DEBIAN_FOLDER).sort((a, b) => Number(b) - Number(a))
    for (const version of versions) {
      const folder = join(DEBIAN_FOLDER, version, 'bin')
      accessSync(join(folder, 'initdb'))
      return { folder }
    }
  } catch {}
  return { missing: 'postgresql is not installed' }
}

/** A server that runs. */
export class PostgresServer {
  readonly #programs: string
  readonly #folder: string
  readonly #user: ServerUser | undefined
  #process: ChildProcess | null = null

  private constructor(programs: string, folder: string, user: ServerUser | undefined) {
    this.#programs = programs
    this.#folder = folder
    this.#user = user
  }

  /** Makes and starts one; it is gone with the test. */
  static async start(t: Test): Promise<PostgresServer> {
    const programs = postgresPrograms()
    if ('missing' in programs) throw new Error(programs.missing)
    const user = userInfo().uid === 0 ? serverUser() : undefined
    const folder = await mkdtemp(join(tmpdir(), 'pg-'))
    if (user !== undefined) await chown(folder, user.uid, user.gid)
    const server = new PostgresServer(programs.folder, folder, user)
    t.teardown(async () => {
      await server.stop('SIGQUIT')
      await rm(folder, { recursive: true, force: true })
    })
    const options = ['--auth=trust', '--username=swiftlet', '--encoding=UTF8', '--no-sync']
    // A collation of the database that is not in byte order would show where a column has not its own.
    const locale = ['--locale-provider=icu', '--icu-locale=en', '--locale=C.UTF-8']
    await server.#run('initdb', ['--pgdata', join(folder, 'data'), ...options, ...locale])
    await server.restart()
    return server
  }

  /** `postgres://…` of a database. */
  url(database: string): string {
    return `postgres://swiftlet@/${database}?host=${encodeURIComponent(this.#folder)}`
  }

  /** The URL of an empty place. */
  newPlace(): Promise<string> {
    return newSchema(this.url('postgres'))
  }

  /** SIGINT ends it in order, SIGQUIT at once, as a crash would. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process
    this.#process = null
    if (running === null || running.exitCode !== null || running.signalCode !== null) return
    const exited = once(running, 'exit')
    running.kill(signal)
    await exited
  }

  async restart(): Promise<void> {
    const data = join(this.#folder, 'data')
    const args = ['-D', data, '-k', this.#folder, '-c', 'listen_addresses=']
    const server = this.#spawn('postgres', args)
    this.#process = server
    for (let tries = 0; tries < READY_TRIES_MAX; tries++) {
      if (server.exitCode !== null) break
      try {
        await queryPostgres(this.url('postgres'), 'SELECT 1')
        return
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    throw new Error('PostgreSQL did not start')
  }

  async #run(program: string, args: readonly string[]): Promise<void> {
    const child = this.#spawn(program, args)
    const [code] = await once(child, 'exit')
    if (code !== 0) throw new Error(`${program} ended with ${code}`)
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    return spawn(join(this.#programs, program), args, {
      cwd: this.#folder,
      stdio: 'ignore',
      env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' },
      ...this.#user,
    })
  }
}

/** The rows that a statement gives. */
export async function queryPostgres(
  url: string,
  statement: string,
): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows
  } finally {
    await client.end()
  }
}

/** The URL of a new schema in the database: an empty place, for a hundredth of what a database costs. */
export async function newSchema(url: string): Promise<string> {
  const schema = `test_${randomId(systemRandom)}`
  await queryPostgres(url, `CREATE SCHEMA ${schema}`)
  return `${url}&options=-c%20search_path%3D${schema}`
}

function serverUser(): ServerUser {
  const idOf = (option: string) =>
    Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}
