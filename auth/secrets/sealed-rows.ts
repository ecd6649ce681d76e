import type { StateTransaction } from '../../common/state/state-store.ts'
import type { Table } from '../../common/state/table.ts'
import { domainSecrets } from '../directories/directory-tables.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { credentials } from '../tables/credentials.ts'
import { iamKeys } from '../tables/iam.ts'
import { accessTokens, consumers, requestTokens } from '../tables/oauth1.ts'
import { seal, unseal } from './secret-keys.ts'

type Parts = Pick<IdentityParts, 'secrets' | 'random'>

/** A row with a secret that has to be read again. */
export interface SealedRow {
  readonly id: string
  readonly sealedSecret: string
}

/** A table whose rows have one; its index `key` says which key has sealed it. */
type SealedTable = Table<SealedRow, 'key'>

/** Rows sealed anew in one transaction. */
const BATCH_ROWS = 100

/** All of them: what was sealed by an older key is looked for here. */
const SEALED_TABLES = [
  credentials,
  consumers,
  requestTokens,
  accessTokens,
  domainSecrets,
  iamKeys,
] as unknown as readonly SealedTable[]

/** The secret as a row of the table keeps it. */
export function sealSecret(
  { secrets, random }: Parts,
  place: { readonly table: { readonly name: string }; readonly id: string },
  secret: string,
): string {
  return seal(secrets(), secret, { place: placeOf(place.table, place.id), random })
}

/** The secret of a row. Throws 500 `SecretUnreadable`. */
export function openSecret(
  { secrets }: Pick<IdentityParts, 'secrets'>,
  table: { readonly name: string },
  row: SealedRow,
): string {
  return unseal(secrets(), row.sealedSecret, placeOf(table, row.id))
}

/** Seals with the newest key what older ones have sealed. Gives how many rows there were. */
export async function resealAll(parts: Parts & Pick<IdentityParts, 'state'>): Promise<number> {
  const [, ...older] = parts.secrets()
  let count = 0
  for (const table of SEALED_TABLES) {
    for (const { id } of older) {
      for (;;) {
        const rows = (await table.by(parts.state, 'key', id)).slice(0, BATCH_ROWS)
        if (rows.length === 0) break
        await parts.state.transaction((tx) => resealBatch(parts, { tx, table, rows }))
        count += rows.length
      }
    }
  }
  return count
}

async function resealBatch(
  parts: Parts,
  {
    tx,
    table,
    rows,
  }: {
    readonly tx: StateTransaction
    readonly table: SealedTable
    readonly rows: readonly SealedRow[]
  },
): Promise<void> {
  for (const { id } of rows) {
    const row = await table.get(tx, id)
    if (row === undefined) continue
    const sealedSecret = sealSecret(parts, { table, id }, openSecret(parts, table, row))
    await table.put(tx, { ...row, sealedSecret })
  }
}

function placeOf({ name }: { readonly name: string }, id: string): string {
  return `${name} ${id}`
}
