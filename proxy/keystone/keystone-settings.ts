/** What roles of a token mean to the object store, as the options of Swift's keystoneauth. Names in any case. */
export interface KeystoneSettings {
  /** With one of them on a project one owns its accounts. */
  readonly operatorRoles: readonly string[]
  /** With one of them one reads everything in the project's accounts. */
  readonly readerRoles: readonly string[]
  /** With one of them one owns all accounts, and makes and deletes them. */
  readonly resellerAdminRoles: readonly string[]
  /** With one of them one reads everything in all accounts. */
  readonly systemReaderRoles: readonly string[]
  /** A token with one of them opens, beside the owner's, accounts with the prefix SERVICE_. */
  readonly serviceRoles: readonly string[]
  /** Whether ACLs may name users and projects of the default domain. */
  readonly namesInAcls: boolean
  /** Users of `/auth/v1.0` are of this domain. */
  readonly defaultDomainName: string
}

/** Swift's own, with the roles that every Keystone has now: `member` works in a project, `reader` looks on. */
export const KEYSTONE_DEFAULTS: KeystoneSettings = {
  operatorRoles: ['admin', 'manager', 'member', 'swiftoperator'],
  readerRoles: ['reader'],
  resellerAdminRoles: ['ResellerAdmin'],
  systemReaderRoles: ['ResellerReader'],
  serviceRoles: ['service'],
  namesInAcls: true,
  defaultDomainName: 'Default',
}
