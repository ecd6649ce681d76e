import { join } from 'node:path'
import t from 'tap'
import { systemRandom as random } from '../common/random.ts'
import { placementOf } from '../common/ring/ring-set.ts'
import { ringSetOf } from '../common/ring/ring-set-file.ts'
import { exportLines } from './commands/env.ts'
import { dataPaths } from './data-folder.ts'
import { chooseDisks } from './disks.ts'
import { endpointsOf } from './endpoints.ts'
import { readRingSet } from './ring-folder.ts'
import { defaultReplicas, newDevice, partPowerFor, requireRings, writeRings } from './rings.ts'
import { decodeSettings, encodeSettings, newSettings } from './settings.ts'

const SHAPE = { disks: [{ device: 'disk1', path: 'disks/disk1' }], replicaCount: 1 }

t.test('settings survive their file, and no two clusters share a salt', async (t) => {
  const [one, two] = [newSettings(random, SHAPE), newSettings(random, SHAPE)]
  const read = decodeSettings(encodeSettings(one), 'swiftlet.json')
  t.match(read, one)
  t.strictSame(decodeSettings(encodeSettings(read), 'swiftlet.json'), read)
  t.not(one.clusterId, two.clusterId)
  t.not(one.hashing.suffix, two.hashing.suffix)
})

t.test('damaged settings are refused with what is wrong', async (t) => {
  const good = JSON.parse(encodeSettings(newSettings(random, SHAPE))) as Record<string, unknown>
  const cases: [object, RegExp][] = [
    [{ ...good, format: 2 }, /newer Swiftlet/],
    [{ ...good, format: 0 }, /older Swiftlet/],
    [{ ...good, hashing: { prefix: 'a', suffix: 'b', placement: 'sha1' } }, /one of xxh64, md5/],
    [{ ...good, hashing: undefined }, /hashing is missing/],
    [{ ...good, disks: 'x' }, /disks must be a list/],
    [{ ...good, color: 'red' }, /unknown setting color/],
    [
      { ...good, policies: [{ index: 0, name: 'a', consistency: 'lax' }] },
      /consistency must be one of strict, swift/,
    ],
  ]
  for (const [settings, message] of cases) {
    t.throws(() => decodeSettings(JSON.stringify(settings), 'swiftlet.json'), { message })
  }
})

const LAYERS = {
  domainRemap: { storageDomains: ['example.com'], mangleClientPaths: true },
  ratelimit: { containerRates: [{ objects: 100, perSecond: 0.5 }], waitSecondsMax: 10 },
  nameCheck: { forbiddenRegexp: '^x' },
  listEndpoints: {},
  proxyProtocol: { trusted: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1'] },
  api: { allowOpenExpired: true, corsAllowOrigins: ['https://app.example'] },
  containerSync: {
    realms: [{ name: 'r', key: 'k', clusters: [{ name: 'c', url: 'http://127.0.0.1/v1' }] }],
  },
  statsd: { host: '127.0.0.1', sampleRate: 0.5 },
}

t.test(
  'layers are set by name, switched off by false, and kept as they were written',
  async (t) => {
    const cluster = newSettings(random, SHAPE)
    const read = (layers: unknown) =>
      decodeSettings(JSON.stringify({ format: 1, ...cluster, layers }), 'swiftlet.json')
    for (const layers of [
      {},
      { tempurl: false },
      { proxyProtocol: {} },
      { proxyProtocol: false },
      { tempurl: { allowedDigests: ['sha512'] } },
      LAYERS,
    ]) {
      const settings = read(layers)
      t.strictSame(settings.layers, layers)
      t.strictSame(decodeSettings(encodeSettings(settings), 'swiftlet.json'), settings)
    }
    const cases: [unknown, RegExp][] = [
      [{ tempurls: {} }, /unknown setting tempurls/],
      [{ tempurl: { method: ['GET'] } }, /tempurl: unknown setting method/],
      [{ tempurl: { allowedDigests: ['md5'] } }, /must be a list of sha1, sha256, sha512/],
      [{ tempurl: true }, /tempurl: must be an object/],
      [{ domainRemap: {} }, /storageDomains is missing/],
      [{ proxyProtocol: { trusted: [] } }, /trusted is empty/],
      [{ proxyProtocol: { trusted: ['10.0.0.1/8'] } }, /trusted has 10.0.0.1\/8, which is no/],
      [{ proxyProtocol: { trusted: ['balancer.example'] } }, /trusted has balancer.example/],
      [{ proxyProtocol: { trust: ['10.0.0.0/8'] } }, /unknown setting trust/],
      [{ nameCheck: { forbiddenRegexp: '(' } }, /is no regular expression/],
      [{ accessLog: { template: '{nobody}' } }, /template no such field: \{nobody\}/],
      [{ accessLog: { anonymizationMethod: 'rot13' } }, /no hashing method rot13/],
      [{ statsd: { host: 'h', sampleRate: 2 } }, /must be a number from 0 to 1/],
      [{ containerSync: { realms: [{ name: 'r' }] } }, /key is missing/],
    ]
    for (const [layers, message] of cases) t.throws(() => read(layers), { message })
  },
)

t.test('storage classes are in policies that there are', async (t) => {
  const policies = [{ name: 'silver', aliases: ['grey'] }]
  const cluster = newSettings(random, {
    ...SHAPE,
    policies: [...policies, { name: 'old', deprecated: true }],
  })
  const read = (...storageClasses: readonly unknown[]) =>
    decodeSettings(
      JSON.stringify({ ...good, s3: { domains: [], storageClasses } }),
      'swiftlet.json',
    )
  const good = JSON.parse(encodeSettings(cluster)) as Record<string, unknown>
  const classes = read({ name: 'WARM', policy: 'Silver' }, { name: 'GLACIER_IR', policy: 'grey' })
  t.same(classes.s3?.storageClasses, [
    { name: 'WARM', policy: 1 },
    { name: 'GLACIER_IR', policy: 1 },
  ])
  const bad: readonly (readonly [RegExp, ...unknown[]])[] = [
    [/policy must be a storage policy: gold/, { name: 'WARM', policy: 'gold' }],
    [/old is none, or deprecated/, { name: 'WARM', policy: 'old' }],
    [/not be STANDARD/, { name: 'STANDARD', policy: 'silver' }],
    [/name must have/, { name: 'a;b=c', policy: 'silver' }],
    [/has a name twice/, { name: 'A', policy: 'silver' }, { name: 'A', policy: 'Policy-0' }],
    [/unknown setting color/, { name: 'A', policy: 'silver', color: 'red' }],
  ]
  for (const [message, ...given] of bad) t.throws(() => read(...given), { message })
})

t.test('targets of replication are named with all that they need', (t) => {
  const cluster = newSettings(random, SHAPE)
  const read = (target: object) =>
    decodeSettings(
      JSON.stringify({ format: 1, ...cluster, s3: { replicationTargets: [target] } }),
      'swiftlet.json',
    ).s3?.replicationTargets
  const good = {
    name: 'other',
    endpoint: 'https://s3.example.org',
    accessKeyId: 'key',
    secretAccessKey: 'secret',
    accounts: ['AUTH_a'],
  }
  t.strictSame(read(good), [{ ...good, isSwiftlet: false, isPrivate: false }])
  const bad: readonly (readonly [RegExp, object])[] = [
    [/name is letters/, { name: 'a:b' }],
    [/endpoint is no URL/, { endpoint: 's3.example.org' }],
    [/endpoint is no URL/, { endpoint: 'https://user@s3.example.org' }],
    [/endpoint is no URL/, { endpoint: 'https://s3.example.org/path' }],
    [/unknown setting secret/, { secret: 'x' }],
  ]
  for (const [message, more] of bad) t.throws(() => read({ ...good, ...more }), { message })
  const { secretAccessKey: _, ...keyless } = good
  t.throws(() => read(keyless), { message: /secretAccessKey is missing/ })
  t.end()
})

t.test('expired objects may be kept for a while', (t) => {
  const cluster = newSettings(random, SHAPE)
  const read = (expiryDelays: unknown) =>
    decodeSettings(JSON.stringify({ format: 1, ...cluster, expiryDelays }), 'swiftlet.json')
  const delays = [{ seconds: 60 }, { account: 'a', container: 'c', seconds: 0 }]
  t.strictSame(read(delays).expiryDelays, delays)
  for (const bad of [
    [{ container: 'c', seconds: 1 }],
    [{}],
    [{ seconds: -1 }],
    [{ seconds: 1, x: 1 }],
  ]) {
    t.throws(() => read(bad), { code: 'BadConfig' })
  }
  t.end()
})

t.test('keymasters and limits are what there is', (t) => {
  const cluster = newSettings(random, SHAPE)
  const read = (more: object) =>
    decodeSettings(JSON.stringify({ format: 1, ...cluster, ...more }), 'swiftlet.json')
  const keymaster = { kind: 'file', file: 'keys.json' }
  t.strictSame(read({ keymaster }).keymaster, keymaster)
  const limits = { objectNameBytesMax: 100, metaCountMax: 1 }
  t.strictSame(read({ limits }).limits, limits)
  const cases: [object, RegExp][] = [
    [{ keymaster: { kind: 'kmip', host: 'h' } }, /secrets of KMIP are not built/],
    [{ keymaster: { kind: 'kms' } }, /secrets of Barbican are not built/],
    [{ keymaster: { kind: 'vault' } }, /kind is file/],
    [{ keymaster, encryptionKeyFile: 'k' }, /only one of them/],
    [{ limits: { objectNameBytesMax: 1025 } }, /objectNameBytesMax/],
    [{ limits: { names: 1 } }, /names/],
    [{ layers: { api: { storageUrlBase: 'store/v1' } } }, /storageUrlBase/],
  ]
  for (const [bad, message] of cases) t.throws(() => read(bad), { message })
  t.end()
})

t.test('prefixes of accounts are what accounts can begin with', (t) => {
  const cluster = newSettings(random, SHAPE)
  const read = (resellerPrefixes: unknown) =>
    decodeSettings(JSON.stringify({ format: 1, ...cluster, resellerPrefixes }), 'swiftlet.json')
  const prefixes = [
    { prefix: 'AUTH_', operatorRoles: ['member'] },
    { prefix: 'SERVICE_', requireGroup: 'service', serviceRoles: ['service'] },
  ]
  t.strictSame(read(prefixes).resellerPrefixes, prefixes)
  const cases: [unknown, RegExp][] = [
    [[], /is empty/],
    [[{ prefix: '' }], /prefix/],
    [[{ prefix: 'AUTH' }], /letters, digits and dashes/],
    [[{ prefix: 'A_B_' }], /letters, digits and dashes/],
    [[{ prefix: 'AUTH_' }, { prefix: 'AUTH_' }], /one prefix twice/],
    [[{ prefix: 'S_', serviceRoles: ['service'] }], /begins with a prefix for services/],
    [[{ prefix: 'AUTH_', operators: [] }], /operators/],
  ]
  for (const [bad, message] of cases) t.throws(() => read(bad), { message })
  t.end()
})

t.test('disks and replicas are chosen by how many disks there are', async (t) => {
  const dir = t.testdir({ data: {}, a: {}, b: {}, c: {}, d: {} })
  const paths = dataPaths(join(dir, 'data'))
  t.strictSame(chooseDisks({ disks: [] }, paths), SHAPE)
  const names = ['a', 'b', 'c', 'd'].map((name) => join(dir, name))
  for (const [count, replicaCount] of [
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 3],
  ] as const) {
    const chosen = chooseDisks({ disks: names.slice(0, count) }, paths)
    t.equal(chosen.replicaCount, replicaCount)
    t.equal(defaultReplicas(count), replicaCount)
    t.strictSame(
      chosen.disks.map((disk) => disk.path),
      names.slice(0, count),
    )
  }
  t.equal(chooseDisks({ disks: names, replicas: 2 }, paths).replicaCount, 2)
  t.throws(() => chooseDisks({ disks: names, replicas: 5 }, paths), { code: 'BadDisks' })
  t.throws(() => chooseDisks({ disks: [names[0]!, join(dir, 'x', '..', 'a')] }, paths), {
    message: /twice/,
  })
})

t.test('rings are built, written, and give every partition its replicas', async (t) => {
  const folder = join(t.testdir(), 'rings')
  const devices = [1, 2, 3, 4].map((number) =>
    newDevice(`disk${number}`, { zone: number, ip: '127.0.0.1', port: 6200 }),
  )
  const plan = {
    clusterId: 'ab',
    placement: 'xxh64',
    replicaCount: 3,
    devices,
    policies: [{ index: 0 }, { index: 2 }],
    nowS: 1_700_000_000,
  } as const
  await writeRings(folder, plan)
  const rings = ringSetOf(readRingSet(folder))
  t.equal(rings.epoch, 0)
  t.equal(rings.placements.length, 4)
  for (const { ring } of rings.placements) {
    t.equal(ring.partPower, partPowerFor(4))
    const held = new Map<string, number>()
    for (let partition = 0; partition < ring.partitionCount; partition++) {
      const primaries = ring.primaries(partition)
      if (new Set(primaries.map((device) => device.zone)).size !== 3)
        t.fail(`partition ${partition}`)
      for (const { device } of primaries) held.set(device, (held.get(device) ?? 0) + 1)
    }
    const share = (ring.partitionCount * 3) / 4
    t.ok(
      [...held.values()].every((count) => Math.abs(count - share) <= 1),
      'even shares',
    )
  }
  t.throws(() => placementOf(rings, 'object', 1), { code: 'NoSuchPolicy' })
  requireRings(rings, folder, plan.policies)
  const lacking = { code: 'NoRing', message: /object-7\.ring/ }
  t.throws(() => requireRings(rings, folder, [{ index: 7 }]), lacking)
})

t.test('a wildcard address is reached by loopback, IPv6 stands in brackets', async (t) => {
  const cases = [
    ['127.0.0.1', false, 'http://127.0.0.1:80'],
    ['0.0.0.0', false, 'http://127.0.0.1:80'],
    ['::', true, 'https://[::1]:80'],
    ['fe80::1', false, 'http://[fe80::1]:80'],
    ['store.example.org', true, 'https://store.example.org:80'],
  ] as const
  for (const [host, tls, url] of cases) {
    t.equal(endpointsOf({ host, port: 80, tls }).objectStore, url)
  }
})

t.test('export lines are quoted for the shell', async (t) => {
  const endpoints = { objectStore: 'http://h:1', signIn: 'http://h:1/auth/v1.0' }
  const regions = { region: 'RegionOne', s3Region: 'eu-north-1' }
  const place = { ...endpoints, ...regions, clouds: '/data/clouds.yaml' }
  const credentials = { user: 'admin:admin', password: "a'b $c", account: 'AUTH_admin' }
  const lines = exportLines(credentials, { ...place, identity: 'http://h:2' })
  t.match(lines, /^export OS_AUTH_URL=http:\/\/h:2\/v3$/m)
  t.match(lines, `export OS_PASSWORD='a'\\''b $c'\n`)
  t.notMatch(lines, 'AWS_')
  const withKeys = exportLines(credentials, { ...place, s3: { access: 'AK', secret: 'a/b+c' } })
  t.match(withKeys, /^export AWS_ENDPOINT_URL=http:\/\/h:1\nexport AWS_ACCESS_KEY_ID=AK$/m)
  t.match(withKeys, /^export AWS_SECRET_ACCESS_KEY=a\/b\+c$/m)
  t.match(withKeys, /^export AWS_DEFAULT_REGION=eu-north-1$/m)
  t.equal(
    exportLines(credentials, place),
    [
      'export ST_AUTH_VERSION=1',
      'export ST_AUTH=http://h:1/auth/v1.0',
      'export ST_USER=admin:admin',
      `export ST_KEY='a'\\''b $c'`,
      '',
    ].join('\n'),
  )
})
