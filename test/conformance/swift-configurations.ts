/** In what forms Swift's own functional tests are run, and what the suite is told of each. Pure. */

export const CONFIGURATIONS = ['v1', 'v3', 'replicas', 'encryption', 'v1-identity'] as const
export type ConfigurationName = (typeof CONFIGURATIONS)[number]

export interface Configuration {
  /** What people read. */
  readonly title: string
  readonly auth: 'v1' | 'v3'
  /** Where the users are: in a file as those of Swift's tempauth (`swiftlet cluster`), or in an identity service (`up`). */
  readonly users: 'file' | 'identity'
  /** Each with a replica of everything: storage nodes of a cluster, disks of `up`. */
  readonly replicas: number
  readonly isEncrypted: boolean
  /** `layers` of swiftlet.json. */
  readonly layers: Readonly<Record<string, unknown>>
  /** Further settings in it. */
  readonly settings?: Readonly<Record<string, unknown>>
}

/** The one proxy of a cluster has nobody to wait for. */
const ONE_PROXY = { versionsSettle: false }

/** The tests that want a domain of their own, or quoted ETags, are skipped without. */
const LAYERS = { domainRemap: { storageDomains: ['example.com'] }, etagQuoter: {} }

const V1: Configuration = {
  title: 'sign-in v1',
  auth: 'v1',
  users: 'file',
  replicas: 1,
  isEncrypted: false,
  layers: { ...LAYERS, api: ONE_PROXY },
}

/** Some tests are of a switch that is on, others of one that is off: v3 has them the other way round. */
export const CONFIGURATION: Readonly<Record<ConfigurationName, Configuration>> = {
  v1: V1,
  v3: {
    ...V1,
    title: 'identity v3',
    auth: 'v3',
    users: 'identity',
    layers: { ...LAYERS, api: { allowAccountManagement: false, allowOpenExpired: true } },
    // What is opened after its time has to be there for as long as the test looks.
    settings: { expiryDelays: [{ seconds: 600 }] },
  },
  replicas: { ...V1, title: 'sign-in v1, three storage nodes and replicas', replicas: 3 },
  encryption: { ...V1, title: 'sign-in v1, encrypted at rest', isEncrypted: true },
  'v1-identity': {
    ...V1,
    title: 'sign-in v1, users in the identity service, three disks and replicas',
    users: 'identity',
    replicas: 3,
    layers: LAYERS,
  },
}

/** The second policy: what is about several is skipped without one. */
export const SECOND_POLICY = 'silver'

export interface SuiteUser {
  /** By which the suite's configuration knows it: `username4`. */
  readonly number: 1 | 2 | 3 | 4 | 5 | 6
  readonly project: string
  readonly name: string
  readonly password: string
  /** Of project and user. */
  readonly domain: 'Default' | 'test-domain'
  /** Roles on the project, under v3. */
  readonly roles: readonly string[]
  /** What `swiftlet user add` gives, under v1; absent: there is no such user there. */
  readonly groups?: readonly string[]
}

/** As in the suite's sample configuration. Under v1 the sixth is the admin of a project of its own. */
export function usersOf(auth: 'v1' | 'v3'): readonly SuiteUser[] {
  const user = (number: SuiteUser['number'], project: string, roles: readonly string[]) =>
    ({
      number,
      project,
      name: `tester${number === 1 ? '' : number}`,
      password: `testing${number === 1 ? '' : number}`,
      domain: 'Default',
      roles,
    }) satisfies SuiteUser
  const sixth = user(6, auth === 'v1' ? 'reseller' : 'test', ['ResellerAdmin'])
  const users: readonly SuiteUser[] = [
    { ...user(1, 'test', ['admin']), groups: ['.admin'] },
    { ...user(2, 'test2', ['admin']), groups: ['.admin'] },
    { ...user(3, 'test', ['_member_']), groups: [] },
    { ...user(4, 'test4', ['admin']), domain: 'test-domain' },
    { ...user(5, 'test5', ['service']), groups: ['service'] },
    { ...sixth, groups: ['.admin', '.reseller_admin'] },
  ]
  return auth === 'v3' ? users : users.filter(({ groups }) => groups !== undefined)
}

/** The suite's `test.conf`. Limits are left out: it asks for them at /info. */
export function suiteConf(auth: 'v1' | 'v3', authUri: string): string {
  const lines = [
    '[func_test]',
    `auth_uri = ${authUri}`,
    `auth_version = ${auth === 'v1' ? 1 : 3}`,
    'service_prefix = SERVICE',
    'storage_domain = example.com',
    'collate = C',
    'insecure = no',
  ]
  for (const { number, project, name, password, domain } of usersOf(auth)) {
    const suffix = number === 1 ? '' : String(number)
    // The third is of the first one's project.
    if (number !== 3) lines.push(`account${suffix} = ${project}`)
    lines.push(`username${suffix} = ${name}`, `password${suffix} = ${password}`)
    if (auth === 'v3') lines.push(`domain${suffix} = ${domain}`)
  }
  return `${lines.join('\n')}\n\n[swift-constraints]\n`
}
