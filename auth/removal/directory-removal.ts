import { directoryEntries } from '../directories/directory-tables.ts'
import { deleteOptions } from '../directories/domain-config-rows.ts'
import type { Change } from '../identity-parts.ts'
import { deleteGroupRow, deleteUserRow } from './user-removal.ts'

/** Everything that the domain's directory has left here, when the domain is deleted. */
export async function deleteDirectory(changing: Change, domainId: string): Promise<void> {
  const { tx } = changing
  for (const { id, kind } of await directoryEntries.by(tx, 'domain', domainId)) {
    if (kind === 'user') await deleteUserRow(changing, id)
    else await deleteGroupRow(changing, id)
    await directoryEntries.delete(tx, id)
  }
  await deleteOptions(tx, domainId)
}
