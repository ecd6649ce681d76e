import { readFileSync } from 'node:fs'
import t from 'tap'
import { completeSettings, DEFAULT_SETTINGS } from '../../auth/settings.ts'
import { parseConfig, readWhole } from '../../common/config.ts'
import { dataPaths } from '../data-folder.ts'
import { clientUrlOf } from '../endpoints.ts'
import { decodeSettings } from '../settings.ts'
import { ownAccess, ownConfig } from './identity-access.ts'
import { decodeIdentityConfig, encodeIdentityConfig } from './identity-config.ts'
import { decodeServiceSettings } from './service-settings.ts'

const PAGE = new URL('../../docs/identity-settings.md', import.meta.url)

/** Every setting with another value than by default. */
const ALL = {
  publicUrl: 'https://cloud.example.org/identity',
  tokenLifeSeconds: 3600,
  allowExpiredSeconds: 0,
  limitModel: 'strict_two_level',
  projectDepthMax: 3,
  defaultDomainId: 'company',
  applicationCredentialsPerUserMax: 5,
  credentialsPerUserMax: 6,
  signedRequestSeconds: 60,
  earlierCodesTaken: 0,
  receiptSeconds: 30,
  oauthRequestSeconds: 600,
  oauthAccessSeconds: 700,
  trustRedelegationsMax: 0,
  listLimit: 500,
  listLimits: { catalog: 1, identity: null, policy: 2, resource: 3, role: 4 },
  storageAccountPrefix: 'KEY_',
  cloudProjectId: '0123456789abcdef0123456789abcdef',
  webIdentityHosts: ['localhost:8081'],
  security: {
    lockoutFailureAttempts: null,
    lockoutSeconds: 0,
    passwordExpiresDays: 90,
    uniqueLastPasswordCount: 4,
    minimumPasswordAgeDays: 1,
    passwordRegex: '^.{8,}$',
    passwordRegexDescription: 'eight characters',
    changePasswordUponFirstUse: true,
    disableUserAccountDaysInactive: 30,
  },
}

const CLUSTER = {
  format: 1,
  clusterId: 'ab',
  hashing: { prefix: 'a', suffix: 'b', placement: 'xxh64' },
  policies: [{ index: 0, name: 'Policy-0', default: true }],
  disks: [{ device: 'disk1', path: 'disk1' }],
  replicaCount: 1,
}

const STORE = { host: '0.0.0.0', port: 8080 }
const OWN = {
  host: '127.0.0.1',
  port: 5000,
  tls: undefined,
  objectStore: 'http://127.0.0.1:8080',
  setAdminPassword: false,
}

t.test('every setting of the service is set in swiftlet.json, and reaches it', async (t) => {
  t.strictSame(Object.keys(ALL).sort(), Object.keys({ publicUrl: '', ...DEFAULT_SETTINGS }).sort())
  t.strictSame(Object.keys(ALL.security).sort(), Object.keys(DEFAULT_SETTINGS.security).sort())
  const text = JSON.stringify({ ...CLUSTER, identity: { ...ALL, region: 'here' } })
  const settings = decodeSettings(text, 'swiftlet.json')
  const config = ownConfig(OWN, settings, dataPaths('/data'))
  // As the child process is given it.
  const read = decodeIdentityConfig(parseConfig(encodeIdentityConfig(config), '-'), '/')
  t.strictSame(read.settings, ALL)
  t.strictSame(completeSettings(read.settings), ALL)
  t.equal(read.region, 'here')
})

t.test('a part of the rules for passwords leaves the others as by default', async (t) => {
  const text = JSON.stringify({ ...CLUSTER, identity: { security: { lockoutSeconds: 7 } } })
  const config = ownConfig(OWN, decodeSettings(text, 'swiftlet.json'), dataPaths('/data'))
  const read = decodeIdentityConfig(parseConfig(encodeIdentityConfig(config), '-'), '/')
  t.strictSame(completeSettings(read.settings), {
    ...DEFAULT_SETTINGS,
    security: { ...DEFAULT_SETTINGS.security, lockoutSeconds: 7 },
  })
})

t.test('the catalog names what clients reach, where that is said', async (t) => {
  const identity = { publicUrl: ALL.publicUrl, objectStoreUrl: 'https://store.example.org/' }
  const read = (settings: object) =>
    decodeSettings(JSON.stringify({ ...CLUSTER, ...settings }), 'swiftlet.json')
  const urls = (settings: object) =>
    ownConfig(OWN, read(settings), dataPaths('/data')).catalog.map(({ url }) => url)
  t.strictSame(urls({ identity }), [
    `${ALL.publicUrl}/v3`,
    'https://store.example.org/v1/AUTH_$(project_id)s',
  ])
  t.strictSame(urls({}), [
    'http://127.0.0.1:5000/v3',
    'http://127.0.0.1:8080/v1/AUTH_$(project_id)s',
  ])
  const everywhere = { ...OWN, host: '0.0.0.0', objectStore: clientUrlOf({ ...STORE, tls: true }) }
  t.strictSame(
    ownConfig(everywhere, read({}), dataPaths('/data')).catalog.map(({ url }) => url),
    ['http://$(request_host)s:5000/v3', 'https://$(request_host)s:8080/v1/AUTH_$(project_id)s'],
    'on all addresses, the one that the client has reached',
  )
  const { url, publicUrl } = ownAccess(everywhere, read({}), dataPaths('/data'))
  t.strictSame([url, publicUrl], ['http://127.0.0.1:5000', 'http://$(request_host)s:5000'])
  t.equal(clientUrlOf({ host: '::', port: 80, tls: false }), 'http://$(request_host)s:80')
  t.equal(clientUrlOf({ host: '::1', port: 80, tls: false }), 'http://[::1]:80')
  t.throws(() => read({ identity: { objectStoreUrl: 'https://store.example.org/v1' } }), {
    message: /objectStoreUrl must be a URL/,
  })
})

t.test('a setting that is wrong is refused by its name', async (t) => {
  const cases: [object, RegExp][] = [
    [{ tokenLifeSeconds: 0 }, /identity: tokenLifeSeconds must be a whole number from 1/],
    [{ tokenLifeSeconds: null }, /tokenLifeSeconds must be a whole number/],
    [{ limitModel: 'strict' }, /limitModel must be one of flat, strict_two_level/],
    [{ projectDepthMax: 1.5 }, /projectDepthMax must be a whole number from 1 to 64/],
    [{ defaultDomainId: '' }, /defaultDomainId must be a text/],
    [{ credentialsPerUserMax: '5' }, /credentialsPerUserMax must be a whole number/],
    [{ listLimit: 0 }, /listLimit must be a whole number from 1/],
    [{ listLimits: 5 }, /listLimits:? must be an object/],
    [{ listLimits: { identity: 0 } }, /listLimits: identity must be a whole number from 1/],
    [{ listLimits: { users: 5 } }, /listLimits: unknown setting users/],
    [{ receiptSeconds: -1 }, /receiptSeconds must be a whole number from 1/],
    [{ oauthAccesSeconds: 5 }, /identity: unknown setting oauthAccesSeconds/],
    [{ publicUrl: 'cloud.example.org' }, /publicUrl must be a URL of http or https/],
    [
      { publicUrl: 'https://cloud.example.org/v3/' },
      /publicUrl must be a URL .* without a version/,
    ],
    [{ publicUrl: 'https://cloud.example.org/?a' }, /publicUrl must be a URL/],
    [{ security: false }, /security must be an object/],
    [{ security: { lockoutSeconds: null } }, /security: lockoutSeconds must be a whole number/],
    [{ security: { passwordRegex: '(' } }, /security: passwordRegex is no regular expression/],
    [{ security: { lockout: 5 } }, /security: unknown setting lockout$/],
  ]
  for (const [identity, message] of cases) {
    const refused = { code: 'BadConfig', status: 400, message }
    t.throws(() => decodeSettings(JSON.stringify({ ...CLUSTER, identity }), 'f'), refused)
  }
  const url = { publicUrl: 'https://cloud.example.org/identity//' }
  t.strictSame(readWhole(url, 'f', decodeServiceSettings), { publicUrl: ALL.publicUrl })
})

t.test('every setting stands on its page', async (t) => {
  const page = readFileSync(PAGE, 'utf8')
  const inner = Object.keys(ALL.security).map((name) => `security.${name}`)
  for (const name of [...Object.keys(ALL), ...inner]) t.ok(page.includes(`| \`${name}\` |`), name)
})
