import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import {
  LDAP_SEARCHER,
  LDAP_SUFFIX,
  LdapServer,
  ldapMissing,
} from '../../test/support/ldap-server.ts'
import type { DirectoryOptions } from './directory-options.ts'
import type { IdentityDriver } from './identity-driver.ts'
import { type LdapDriverOptions, openLdapDriver } from './ldap-driver.ts'
import { isEnabled } from './ldap-entries.ts'
import { publicId } from './public-id.ts'

const USERS = `ou=Users,${LDAP_SUFFIX}`
const GROUPS = `ou=Groups,${LDAP_SUFFIX}`

/** An entry as a person of LDIF; values that LDIF has no plain form for are base64. */
function person(dn: string, values: Readonly<Record<string, string>>): string {
  const lines = Object.entries(values).map(([name, value]) => `${name}:: ${base64(value)}`)
  return `dn:: ${base64(dn)}\nobjectClass: inetOrgPerson\n${lines.join('\n')}\n`
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

const ODD_NAME = 'O\'Brien, Anné (x)*\\+"'
const ODD_DN = `uid=odd\\2c\\2a\\28\\29,${USERS}`

const LDIF = [
  person(`uid=ann,${USERS}`, {
    uid: 'ann',
    cn: 'Ann',
    sn: 'A',
    mail: 'ann@example.org',
    description: 'the first',
    userPassword: 'ann-secret',
    employeeType: 'TRUE',
    employeeNumber: '512',
  }),
  person(`uid=bob,${USERS}`, {
    uid: 'bob',
    cn: 'Bob',
    sn: 'B',
    userPassword: 'pass wörd*)(',
    employeeType: 'FALSE',
    employeeNumber: '514',
  }),
  person(ODD_DN, { uid: 'odd,*()', cn: ODD_NAME, sn: 'O', userPassword: 'odd' }),
  `dn: ou=Deep,${USERS}\nobjectClass: organizationalUnit\nou: Deep\n`,
  person(`uid=deep,ou=Deep,${USERS}`, { uid: 'deep', cn: 'Deep', sn: 'D', userPassword: 'deep' }),
  `dn: cn=staff,${GROUPS}\nobjectClass: groupOfNames\ncn: staff\nou: Staff\ndescription: all\n` +
    `member: uid=ann,${USERS}\nmember:: ${base64(ODD_DN)}\nmember: uid=gone,${USERS}\nmember: cn=staff,${GROUPS}\n`,
  `dn: cn=empty,${GROUPS}\nobjectClass: groupOfNames\ncn: empty\nou: Empty\nmember: cn=none\n`,
  `dn: cn=unix,${GROUPS}\nobjectClass: posixGroup\ncn: unix\ngidNumber: 1\nmemberUid: ann\nmemberUid: bob\n`,
  ...Array.from({ length: 250 }, (_, n) =>
    person(`uid=many${n},ou=Deep,${USERS}`, { uid: `many${n}`, cn: `Many ${n}`, sn: 'M' }),
  ),
].join('\n')

t.test('ids are those that Keystone makes', async (t) => {
  t.equal(
    publicId('default', 'user', 'ann'),
    'a2d27fc74a2f61b3a64815e71dad383e0c9e2d6e5678a4a385ed076e6d0041d8',
  )
  t.not(publicId('default', 'group', 'ann'), publicId('default', 'user', 'ann'))
})

t.test('an attribute says who may sign in, as Keystone reads it', async (t) => {
  const rule = { attribute: 'a', mask: 0, invert: false, byDefault: 'True' }
  for (const [value, change, enabled] of [
    ['TRUE', {}, true],
    ['FALSE', {}, false],
    ['other', {}, false],
    [null, {}, true],
    [null, { byDefault: 'False' }, false],
    ['FALSE', { attribute: '' }, true],
    ['TRUE', { invert: true }, false],
    ['FALSE', { invert: true }, true],
    ['512', { mask: 2, byDefault: '512' }, true],
    ['514', { mask: 2, byDefault: '512' }, false],
    [null, { mask: 2, byDefault: '512' }, true],
    ['no number', { mask: 2 }, false],
  ] as const) {
    t.equal(isEnabled(value, { ...rule, ...change }), enabled, `${value} ${JSON.stringify(change)}`)
  }
})

t.test('options that cannot be worked with are refused', async (t) => {
  for (const options of [
    { url: 'http://localhost' },
    { url: '' },
    { url: 'ldap://127.0.0.1:1/dc=x' },
    { query_scope: 'base' },
    { page_size: -1 },
    { use_tls: 'maybe' },
    { user_filter: '(a=b))' },
    { tls_cacertfile: '/nowhere/ca.pem' },
    { tls_cacertdir: '/etc' },
    { chase_referrals: true },
    { user_enabled_emulation: 'True' },
    { alias_dereferencing: 'always' },
    { user_tree_dn: ['a'] },
  ]) {
    const opened = openLdapDriver(options)
    await t.rejects(opened, { code: 'DirectoryUnfit', status: 503 }, JSON.stringify(options))
  }
  await (await openLdapDriver({ use_pool: true, pool_size: 3, chase_referrals: 'False' })).close()
})

t.test('a directory that is not there, or says nothing, is 503 in time', async (t) => {
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => sockets.add(socket))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  const { port } = silent.address() as AddressInfo
  for (const url of [
    'ldap://127.0.0.1:1',
    `ldap://127.0.0.1:${port}`,
    `ldaps://127.0.0.1:${port}`,
  ]) {
    const driver = await openLdapDriver({ url }, { answerMsMax: 300, connectMsMax: 300 })
    t.teardown(() => driver.close())
    await t.rejects(driver.findUser('ann'), { code: 'DirectoryUnavailable', status: 503 }, url)
    await t.rejects(driver.checkPassword('ann', 'x'), { code: 'DirectoryUnavailable' }, url)
  }
})

t.test('with slapd', { skip: ldapMissing() }, async (t) => {
  const server = await LdapServer.start(t, LDIF)
  const plain: DirectoryOptions = {
    url: server.url,
    user: LDAP_SEARCHER.dn,
    password: LDAP_SEARCHER.password,
    suffix: LDAP_SUFFIX,
    user_id_attribute: 'uid',
    user_name_attribute: 'cn',
    user_enabled_attribute: 'employeeType',
    group_tree_dn: GROUPS,
    group_id_attribute: 'cn',
    group_name_attribute: 'ou',
  }
  const opened = async (
    t: Test,
    options: DirectoryOptions = {},
    limits: LdapDriverOptions = {},
  ): Promise<IdentityDriver> => {
    const driver = await openLdapDriver({ ...plain, ...options }, limits)
    t.teardown(() => driver.close())
    return driver
  }

  t.test('users are found by id and by name, with what they are', async (t) => {
    const driver = await opened(t)
    const ann = {
      localId: 'ann',
      name: 'Ann',
      enabled: true,
      description: 'the first',
      email: 'ann@example.org',
    }
    t.strictSame(await driver.findUser('ann'), ann)
    t.strictSame(await driver.findUserByName('Ann'), ann)
    t.match(await driver.findUser('bob'), { localId: 'bob', enabled: false })
    t.equal(await driver.findUser('none'), null)
    t.equal(await driver.findUserByName(''), null)
    t.strictSame((await driver.listUsers()).entries.map(({ localId }) => localId).sort(), [
      'ann',
      'bob',
      'odd,*()',
    ])
    const ignoring = await opened(t, {
      user_attribute_ignore: 'description,email',
      user_mail_attribute: 'none',
    })
    t.strictSame(await ignoring.findUser('ann'), { localId: 'ann', name: 'Ann', enabled: true })
    const masked = await opened(t, {
      user_enabled_attribute: 'employeeNumber',
      user_enabled_mask: 2,
      user_enabled_default: '512',
    })
    t.match(await masked.findUser('ann'), { enabled: true })
    t.match(await masked.findUser('bob'), { enabled: false })
    t.match(await masked.findUserByName(ODD_NAME), { enabled: true })
    const filtered = await opened(t, { user_filter: '(description=the first)' })
    t.strictSame(
      (await filtered.listUsers()).entries.map(({ localId }) => localId),
      ['ann'],
    )
    t.equal(await filtered.checkPassword('odd,*()', 'odd'), false, 'nor may others sign in')
  })

  t.test('what is asked for is only compared, whatever it holds', async (t) => {
    const driver = await opened(t, { query_scope: 'sub' })
    t.match(await driver.findUserByName(ODD_NAME), { localId: 'odd,*()', name: ODD_NAME })
    for (const value of [
      '*',
      'a*',
      'ann)(uid=*',
      '*)(objectClass=*',
      '\\2a',
      'ann\0',
      'an\\6e',
      ')',
      '(',
      ODD_DN,
    ]) {
      t.equal(await driver.findUser(value), null, JSON.stringify(value))
      t.equal(await driver.findUserByName(value), null)
      t.equal(await driver.findGroup(value), null)
      t.strictSame(await driver.groupsOfUser(value), [])
      t.equal(await driver.checkPassword(value, 'ann-secret'), false)
    }
  })

  t.test('passwords are checked by the directory, empty ones never', async (t) => {
    const driver = await opened(t)
    t.equal(await driver.checkPassword('ann', 'ann-secret'), true)
    t.equal(await driver.checkPassword('bob', 'pass wörd*)('), true)
    t.equal(await driver.checkPassword('odd,*()', 'odd'), true)
    for (const password of [
      '',
      'ann-secret ',
      'Ann-secret',
      '\0',
      'ann-secret\0',
      'x'.repeat(5000),
    ]) {
      t.equal(
        await driver.checkPassword('ann', password),
        false,
        JSON.stringify(password.slice(0, 20)),
      )
    }
    t.equal(await driver.checkPassword('none', 'ann-secret'), false)
    t.equal(await driver.checkPassword('', 'ann-secret'), false)
    const many = Array.from({ length: 40 }, (_, n) =>
      driver.checkPassword('ann', n % 2 ? 'ann-secret' : 'no'),
    )
    t.strictSame(
      await Promise.all(many),
      Array.from({ length: 40 }, (_, n) => n % 2 === 1),
    )
  })

  t.test('groups are found, with those in them', async (t) => {
    const driver = await opened(t)
    const staff = { localId: 'staff', name: 'Staff', description: 'all' }
    t.strictSame(await driver.findGroup('staff'), staff)
    t.strictSame(await driver.findGroupByName('Staff'), staff)
    t.strictSame((await driver.listGroups()).entries.map(({ name }) => name).sort(), [
      'Empty',
      'Staff',
    ])
    t.strictSame(await driver.groupsOfUser('ann'), [staff])
    t.strictSame(await driver.groupsOfUser('odd,*()'), [staff])
    t.strictSame(await driver.groupsOfUser('bob'), [])
    t.strictSame(
      (await driver.usersOfGroup('staff')).map(({ localId }) => localId),
      ['ann', 'odd,*()'],
    )
    t.strictSame(await driver.usersOfGroup('empty'), [])
    t.strictSame(await driver.usersOfGroup('none'), [])
    const unix = await opened(t, {
      group_objectclass: 'posixGroup',
      group_name_attribute: 'cn',
      group_member_attribute: 'memberUid',
      group_members_are_ids: true,
    })
    t.strictSame(
      (await unix.groupsOfUser('bob')).map(({ name }) => name),
      ['unix'],
    )
    t.strictSame(
      (await unix.usersOfGroup('unix')).map(({ name }) => name),
      ['Ann', 'Bob'],
    )
  })

  t.test('a subtree is searched page by page, up to what is taken', async (t) => {
    const all = await opened(t, { query_scope: 'sub', page_size: 70 })
    t.equal((await all.listUsers()).entries.length, 254)
    t.match(await all.findUser('deep'), { name: 'Deep' })
    const some = await opened(t, { query_scope: 'sub', page_size: 70 }, { entriesMax: 100 })
    t.equal((await some.listUsers()).entries.length, 100)
    const once = await opened(t, { query_scope: 'sub' }, { entriesMax: 50 })
    t.equal((await once.listUsers()).entries.length, 50)
    t.equal(await (await opened(t)).findUser('deep'), null, 'one level is one level')
  })

  t.test('a directory that does not let us search is 503, not an empty one', async (t) => {
    const wrong = await opened(t, { password: 'wrong' })
    await t.rejects(wrong.listUsers(), { code: 'DirectoryUnavailable', status: 503 })
    const noTls = await opened(t, { use_tls: true, url: 'ldap://127.0.0.1:1' })
    await t.rejects(noTls.checkPassword('ann', 'ann-secret'), { code: 'DirectoryUnavailable' })
  })

  t.test(
    'TLS, from the start or later, with a server that is known',
    { skip: server.caFile === null },
    async (t) => {
      const ldaps = `ldaps://localhost:${server.tlsPort}`
      for (const options of [
        { url: ldaps },
        { url: `ldap://localhost:${server.port}`, use_tls: true },
      ]) {
        const known = await opened(t, { ...options, tls_cacertfile: server.caFile })
        t.match(await known.findUser('ann'), { name: 'Ann' })
        t.equal(await known.checkPassword('ann', 'ann-secret'), true)
        t.equal(await known.checkPassword('ann', 'wrong'), false)
        const unknown = await opened(t, options)
        await t.rejects(
          unknown.findUser('ann'),
          { code: 'DirectoryUnavailable' },
          'by nobody we know',
        )
        const trusting = await opened(t, { ...options, tls_req_cert: 'never' })
        t.match(await trusting.findUser('ann'), { name: 'Ann' })
      }
    },
  )

  t.test(
    'a directory that was restarted is found again, and another URL before that',
    async (t) => {
      const driver = await opened(t)
      const either = await opened(t, { url: `ldap://127.0.0.1:1,${server.url}` })
      t.match(await driver.findUser('ann'), { name: 'Ann' })
      t.match(await either.findUser('ann'), { name: 'Ann' })
      await server.stop()
      await t.rejects(driver.findUser('ann'), { code: 'DirectoryUnavailable', status: 503 })
      await server.restart()
      t.match(await driver.findUser('ann'), { name: 'Ann' })
      await server.stop()
      await server.restart()
      t.match(await driver.findUser('ann'), { name: 'Ann' }, 'though nobody asked meanwhile')
      await driver.close()
      await t.rejects(driver.findUser('ann'), { code: 'DirectoryUnavailable' })
    },
  )
})
