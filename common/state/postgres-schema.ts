import type { Pool } from 'pg'
import { ServiceError, systemErrorCode } from '../errors.ts'

const VERSION = 1
/** Which service has which version of its table. */
const VERSIONS = 'swiftlet_versions'
/** Held while tables are made: two processes may start at once. */
const MAKING_LOCK = 7_305_811_420
const UNDEFINED_TABLE = '42P01'

/** The table of a service's rows: `identity` in `swiftlet_identity`. */
export function relationOf(service: string): string {
  if (!/^[a-z][a-z0-9_]{0,31}$/.test(service)) throw new RangeError(`no name: ${service}`)
  return `swiftlet_${service}`
}

/**
 * Makes the tables at first use. Throws 409 `StateTooNew` if a newer version made them, 409 `StateUnfit` for a database
 * that is not UTF-8 or does not make what it has acknowledged durable.
 */
export async function prepareSchema(pool: Pool, service: string): Promise<void> {
  await checkSettings(pool)
  const version = (await versionOf(pool, service)) ?? (await makeTables(pool, service))
  if (version > VERSION) {
    throw new ServiceError('StateTooNew', `the database has state of version ${version}`, {
      status: 409,
    })
  }
}

async function checkSettings(pool: Pool): Promise<void> {
  for (const [setting, unfit] of [
    ['server_encoding', (value: string) => value !== 'UTF8'],
    ['fsync', (value: string) => value === 'off'],
    ['synchronous_commit', (value: string) => value === 'off'],
  ] as const) {
    const { rows } = await pool.query<string[]>({ text: `SHOW ${setting}`, rowMode: 'array' })
    const value = rows[0]![0]!
    if (unfit(value)) {
      throw new ServiceError('StateUnfit', `PostgreSQL has ${setting} = ${value}`, { status: 409 })
    }
  }
}

async function versionOf(pool: Pool, service: string): Promise<number | undefined> {
  try {
    const { rows } = await pool.query<{ version: string }>(
      `SELECT version FROM ${VERSIONS} WHERE service = $1`,
      [service],
    )
    return rows[0] === undefined ? undefined : Number(rows[0].version)
  } catch (error) {
    if (systemErrorCode(error) === UNDEFINED_TABLE) return undefined
    throw error
  }
}

async function makeTables(pool: Pool, service: string): Promise<number> {
  // Byte order, whatever the database's own collation is. The name of the service has been checked.
  await pool.query(`
    BEGIN;
    SELECT pg_advisory_xact_lock(${MAKING_LOCK});
    CREATE TABLE IF NOT EXISTS ${VERSIONS} (service text PRIMARY KEY, version integer NOT NULL);
    CREATE TABLE IF NOT EXISTS ${relationOf(service)} (
      table_name text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      value json NOT NULL,
      PRIMARY KEY (table_name, key)
    );
    INSERT INTO ${VERSIONS} VALUES ('${service}', ${VERSION}) ON CONFLICT DO NOTHING;
    COMMIT`)
  return (await versionOf(pool, service)) ?? VERSION
}
