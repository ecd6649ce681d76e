import type { IdentityParts } from '../identity-parts.ts'
import { type CredentialRow, credentials } from '../tables/credentials.ts'
import { seal, unseal } from './secret-keys.ts'

/** Rows sealed anew in one transaction. */
const BATCH_ROWS = 100

/** The blob as a row keeps it. */
export function sealBlob(
  { secrets, random }: Pick<IdentityParts, 'secrets' | 'random'>,
  id: string,
  blob: string,
): string {
  return seal(secrets(), blob, { place: placeOf(id), random })
}

/** The blob of a row. Throws 500 `SecretUnreadable`. */
export function openBlob({ secrets }: Pick<IdentityParts, 'secrets'>, row: CredentialRow): string {
  return unseal(secrets(), row.sealedBlob, placeOf(row.id))
}

/** Seals with the newest key what older ones have sealed. Gives how many rows there were. */
export async function resealBlobs(
  parts: Pick<IdentityParts, 'secrets' | 'random' | 'state'>,
): Promise<number> {
  const [, ...older] = parts.secrets()
  let count = 0
  for (const { id } of older) {
    for (;;) {
      const rows = (await credentials.by(parts.state, 'key', id)).slice(0, BATCH_ROWS)
      if (rows.length === 0) break
      await resealBatch(parts, rows)
      count += rows.length
    }
  }
  return count
}

async function resealBatch(
  parts: Pick<IdentityParts, 'secrets' | 'random' | 'state'>,
  rows: readonly CredentialRow[],
): Promise<void> {
  await parts.state.transaction(async (tx) => {
    for (const { id } of rows) {
      const row = await credentials.get(tx, id)
      if (row === undefined) continue
      await credentials.put(tx, { ...row, sealedBlob: sealBlob(parts, id, openBlob(parts, row)) })
    }
  })
}

function placeOf(id: string): string {
  return `credential ${id}`
}
