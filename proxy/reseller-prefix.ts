/**
 * Accounts whose names begin so are this cluster's: Swift's `reseller_prefix`, with the options that tempauth and keystoneauth
 * have for each.
 */
export interface ResellerPrefix {
  /** `AUTH_`; users are signed in to accounts with the first one. */
  readonly prefix: string
  /** Users of a file own such accounts only together with a service's token, of a user in this group. */
  readonly requireGroup?: string
  /** Roles of Keystone that own such accounts; as for all prefixes if absent. */
  readonly operatorRoles?: readonly string[]
  /** Roles of Keystone that read them. */
  readonly readerRoles?: readonly string[]
  /** Where there are any, an owner needs a service's token beside his own, with one of these roles. */
  readonly serviceRoles?: readonly string[]
}

/** As Swift's documents have them for services. */
export const RESELLER_PREFIXES: readonly ResellerPrefix[] = [
  { prefix: 'AUTH_' },
  { prefix: 'SERVICE_', requireGroup: 'service' },
]

/** Whether an owner's own token is not enough. */
export function needsService({ requireGroup, serviceRoles = [] }: ResellerPrefix): boolean {
  return requireGroup !== undefined || serviceRoles.length > 0
}

/** The group that a service's token of Keystone gives, in place of `requireGroup`. No user is in a group of such a name. */
export function serviceGroupOf({ prefix }: ResellerPrefix): string {
  return `.service ${prefix}`
}

/** Whose prefix the account has; undefined if it is not the cluster's at all. */
export function prefixOf(
  account: string,
  prefixes: readonly ResellerPrefix[],
): ResellerPrefix | undefined {
  return prefixes.find(({ prefix }) => account.startsWith(prefix))
}

/** Whether clients can have such an account: with one of the prefixes, and a name behind it. */
export function isStorageAccount(name: string, prefixes: readonly ResellerPrefix[]): boolean {
  const { prefix } = prefixOf(name, prefixes) ?? {}
  return prefix !== undefined && name.length > prefix.length && name[prefix.length] !== '.'
}
