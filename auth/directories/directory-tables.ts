import { Table } from '../../common/state/table.ts'
import type { DirectoryKind } from '../drivers/public-id.ts'
import { sealedBy } from '../secrets/secret-keys.ts'
import type { Extra } from '../tables/rows.ts'

/** What a domain has of its own: where its users live. */
export interface DomainConfigRow {
  readonly domainId: string
  /** By group (`identity`, `ldap`, `pam`) and option; in state without those that are secrets (`domainSecrets`). */
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

/** The secret options of a domain's configuration, sealed together. */
export interface DomainSecretRow {
  /** Of the domain. */
  readonly id: string
  readonly sealedSecret: string
}

export const domainSecrets = new Table<DomainSecretRow, 'key'>({
  name: 'domain-secrets',
  keyOf: ({ id }) => [id],
  indexes: { key: { of: ({ sealedSecret }) => [[sealedBy(sealedSecret)]] } },
})
