import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { Table } from '../../common/state/table.ts'
import type { DirectoryKind } from '../drivers/public-id.ts'
import type { Change } from '../identity-parts.ts'
import { deleteGroupRow, deleteUserRow } from '../removal/user-removal.ts'
import type { Extra } from '../tables/rows.ts'

/** What a domain has of its own: where its users live. */
export interface DomainConfigRow {
  readonly domainId: string
  /** By group (`identity`, `ldap`, `pam`) and option, secrets too. */
  readonly options: Readonly<Record<string, Extra>>
}

/** Who in a directory an id of the API means; kept when the entry is gone, so that assignments hold if it comes back. */
export interface DirectoryEntryRow {
  /** As `public-id.ts` makes it. */
  readonly id: string
  readonly domainId: string
  readonly kind: DirectoryKind
  readonly localId: string
}

export const domainConfigs = new Table<DomainConfigRow>({
  name: 'domain-configs',
  keyOf: ({ domainId }) => [domainId],
  indexes: {},
})

export const directoryEntries = new Table<DirectoryEntryRow, 'domain'>({
  name: 'directory-entries',
  keyOf: ({ id }) => [id],
  indexes: { domain: { of: ({ domainId, kind }) => [[domainId, kind]] } },
})

/** Whether an id has the form of those of directories; ids of the service's own are half as long. */
export function isDirectoryId(id: string): boolean {
  return /^[0-9a-f]{64}$/.test(id)
}

/** Everything that the domain's directory has left here, when the domain is deleted. */
export async function deleteDirectory(changing: Change, domainId: string): Promise<void> {
  const { tx } = changing
  for (const { id, kind } of await directoryEntries.by(tx, 'domain', domainId)) {
    if (kind === 'user') await deleteUserRow(changing, id)
    else await deleteGroupRow(changing, id)
    await directoryEntries.delete(tx, id)
  }
  await domainConfigs.delete(tx, domainId)
}

/** The options of a domain; none if it has no configuration. */
export async function optionsOf(
  reader: StateReader | StateTransaction,
  domainId: string,
): Promise<DomainConfigRow['options']> {
  return (await domainConfigs.get(reader, domainId))?.options ?? {}
}
