/** Domains whose users live in a directory: LDAP (slapd) and PAM. */
import t, { type Test } from 'tap'
import type { DirectoriesOptions } from '../../auth/directories/directories.ts'
import { publicId } from '../../auth/drivers/public-id.ts'
import { IdentityRig } from '../support/identity-rig.ts'
import { LDAP_SEARCHER, LDAP_SUFFIX, LdapServer, ldapMissing } from '../support/ldap-server.ts'
import { makePamAccounts, PWDFILE_RULES, pamMissing } from '../support/pam-accounts.ts'

const USERS = `ou=Users,${LDAP_SUFFIX}`
const GROUPS = `ou=Groups,${LDAP_SUFFIX}`

const person = (uid: string, cn: string) => `dn: uid=${uid},${USERS}
objectClass: inetOrgPerson
uid: ${uid}
cn: ${cn}
sn: ${cn}
mail: ${uid}@example.org
employeeType: TRUE
userPassword: secret of ${uid}
`

const LDIF = [
  person('ann', 'Ann'),
  person('bob', 'Bob'),
  person('twin1', 'Twin'),
  person('twin2', 'Twin'),
  `dn: cn=staff,${GROUPS}
objectClass: groupOfNames
cn: staff
ou: Staff
member: uid=ann,${USERS}
member: uid=bob,${USERS}
`,
].join('\n')

const ldapOptions = (url: string) => ({
  identity: { driver: 'ldap' },
  ldap: {
    url,
    user: LDAP_SEARCHER.dn,
    password: LDAP_SEARCHER.password,
    suffix: LDAP_SUFFIX,
    user_id_attribute: 'uid',
    user_name_attribute: 'cn',
    user_enabled_attribute: 'employeeType',
    group_tree_dn: GROUPS,
  },
})

/** A rig whose directories are asked each time, and not by itself, with a domain of its own. */
async function withDomain(t: Test, config: unknown, options: DirectoriesOptions = {}) {
  const rig = await IdentityRig.start({
    directories: { freshMs: 0, watchedPerRound: 0, ...options },
  })
  t.teardown(() => rig.close())
  const made = await rig.call('POST', '/v3/domains', { body: { domain: { name: 'company' } } })
  const domainId: string = made.body.domain.id
  const put = await rig.call('PUT', `/v3/domains/${domainId}/config`, { body: { config } })
  if (put.status !== 201) throw new Error(JSON.stringify(put.body))
  const project = await rig.call('POST', '/v3/projects', {
    body: { project: { name: 'work', domain_id: domainId } },
  })
  const roles = (await rig.call('GET', '/v3/roles')).body.roles
  const roleId = (name: string): string =>
    roles.find((role: { name: string }) => role.name === name).id
  return { rig, domainId, projectId: project.body.project.id as string, roleId }
}

const named = (name: string, password: string, domainId: string) => ({
  name,
  password,
  domain: { id: domainId },
})
const names = (rows: readonly { readonly name: string }[]) => rows.map(({ name }) => name).sort()

t.test('users of LDAP', { skip: ldapMissing() }, async (t) => {
  const server = await LdapServer.start(t, LDIF)
  const { rig, domainId, projectId, roleId } = await withDomain(t, ldapOptions(server.url))
  const annId = publicId(domainId, 'user', 'ann')
  const staffId = publicId(domainId, 'group', 'staff')
  const scope = { project: { id: projectId } }
  const ann = named('Ann', 'secret of ann', domainId)

  t.test('are listed and shown, with groups and members', async (t) => {
    const list = await rig.call('GET', `/v3/users?domain_id=${domainId}`)
    t.strictSame(names(list.body.users), ['Ann', 'Bob', 'Twin'], 'of two with one name the first')
    const filtered = await rig.call('GET', `/v3/users?domain_id=${domainId}&name=Bob`)
    t.strictSame(names(filtered.body.users), ['Bob'])
    t.match(await rig.call('GET', `/v3/users/${annId}`), {
      status: 200,
      body: {
        user: {
          id: annId,
          name: 'Ann',
          domain_id: domainId,
          enabled: true,
          email: 'ann@example.org',
          password_expires_at: null,
        },
      },
    })
    const groups = await rig.call('GET', `/v3/groups?domain_id=${domainId}`)
    t.match(groups.body.groups, [{ id: staffId, name: 'Staff', domain_id: domainId }])
    const members = await rig.call('GET', `/v3/groups/${staffId}/users`)
    t.strictSame(names(members.body.users), ['Ann', 'Bob'])
    t.strictSame(names((await rig.call('GET', `/v3/users/${annId}/groups`)).body.groups), ['Staff'])
    t.match(await rig.call('HEAD', `/v3/groups/${staffId}/users/${annId}`), { status: 204 })
    const twin = publicId(domainId, 'user', 'twin2')
    t.match(await rig.call('GET', `/v3/users/${twin}`), { status: 404 })
  })

  t.test('sign in by name or id, unless the password is wrong or empty', async (t) => {
    t.match(await rig.signIn(undefined, ann), {
      status: 201,
      body: { token: { user: { id: annId, name: 'Ann', domain: { name: 'company' } } } },
    })
    t.match(await rig.signIn(undefined, { id: annId, password: 'secret of ann' }), { status: 201 })
    for (const wrong of [
      { ...ann, password: '' },
      { ...ann, password: 'secret of bob' },
      { ...ann, name: '*' },
      { ...ann, name: 'Nobody' },
      { ...ann, name: 'Ann)(uid=*' },
      { ...ann, domain: { id: 'default' } },
      { id: publicId('default', 'user', 'ann'), password: 'secret of ann' },
    ]) {
      const status = wrong.password === '' ? [400, 401] : [401]
      t.ok(status.includes((await rig.signIn(undefined, wrong)).status), JSON.stringify(wrong))
    }
    t.match(await rig.signIn(scope, ann), { status: 401 }, 'without a role')
  })

  t.test('have roles, directly and by groups of the directory', async (t) => {
    const own = `/v3/projects/${projectId}/users/${annId}/roles/${roleId('reader')}`
    t.match(await rig.call('PUT', own), { status: 204 })
    const token = await rig.token(scope, ann)
    t.match(await rig.call('GET', `/v3/projects/${projectId}`, { token }), { status: 200 })
    const byGroup = `/v3/projects/${projectId}/groups/${staffId}/roles/${roleId('member')}`
    t.match(await rig.call('PUT', byGroup), { status: 204 })
    const answer = await rig.signIn(scope, named('Bob', 'secret of bob', domainId))
    t.strictSame(names(answer.body.token.roles), ['member', 'reader'])
    const listed = await rig.call('GET', `/v3/role_assignments?include_names&user.id=${annId}`)
    t.match(listed.body.role_assignments, [{ user: { name: 'Ann' }, role: { name: 'reader' } }])
    t.match(await rig.call('GET', `/v3/users/${annId}/projects`), {
      body: { projects: [{ id: projectId }] },
    })
  })

  t.test('are not changed, made or deleted here', async (t) => {
    const refused = {
      status: 403,
      body: { error: { message: /does not support write operations/ } },
    }
    const user = { name: 'new', password: 'x', domain_id: domainId }
    for (const [method, path, body] of [
      ['POST', '/v3/users', { user }],
      ['PATCH', `/v3/users/${annId}`, { user: { enabled: false } }],
      ['DELETE', `/v3/users/${annId}`, undefined],
      [
        'POST',
        `/v3/users/${annId}/password`,
        { user: { original_password: 'secret of ann', password: 'y' } },
      ],
      ['POST', '/v3/groups', { group: { name: 'new', domain_id: domainId } }],
      ['PATCH', `/v3/groups/${staffId}`, { group: { name: 'x' } }],
      ['DELETE', `/v3/groups/${staffId}`, undefined],
      ['PUT', `/v3/groups/${staffId}/users/${annId}`, undefined],
      ['DELETE', `/v3/groups/${staffId}/users/${annId}`, undefined],
    ] as const) {
      t.match(await rig.call(method, path, { body }), refused, `${method} ${path}`)
    }
    t.match(await rig.call('POST', '/v3/users', { body: { user }, token: null }), { status: 401 })
    const local = await rig.call('POST', '/v3/groups', { body: { group: { name: 'local' } } })
    const mixed = `/v3/groups/${local.body.group.id}/users/${annId}`
    t.match(await rig.call('PUT', mixed), { status: 403, body: { error: { message: /backend/ } } })
    const other = await rig.call('POST', '/v3/users', { body: { user: { name: 'local' } } })
    t.equal(other.status, 201, 'other domains are as they were')
    t.match(await rig.signIn(undefined, ann), { status: 201 })
  })

  t.test('lose their tokens with what they were given them for', async (t) => {
    const bob = named('Bob', 'secret of bob', domainId)
    const bobsToken = await rig.token(scope, bob)
    const annsToken = await rig.token(undefined, ann)
    server.modify(
      `dn: cn=staff,${GROUPS}\nchangetype: modify\ndelete: member\nmember: uid=bob,${USERS}\n`,
    )
    t.match(await rig.call('GET', `/v3/projects/${projectId}`, { token: bobsToken }), {
      status: 401,
    })
    t.match(await rig.signIn(scope, bob), { status: 401 })
    server.modify(
      `dn: uid=ann,${USERS}\nchangetype: modify\nreplace: employeeType\nemployeeType: FALSE\n`,
    )
    t.match(await rig.call('GET', `/v3/users/${annId}`, { token: annsToken }), { status: 401 })
    t.match(await rig.signIn(undefined, ann), { status: 401 })
    t.match(await rig.call('GET', `/v3/users/${annId}`), { body: { user: { enabled: false } } })
    server.modify(`dn: uid=ann,${USERS}\nchangetype: delete\n`)
    t.match(await rig.call('GET', `/v3/users/${annId}`), { status: 404 })
    t.match(await rig.signIn(undefined, ann), { status: 401 })
    const list = await rig.call('GET', `/v3/users?domain_id=${domainId}`)
    t.strictSame(names(list.body.users), ['Bob', 'Twin'])
    t.match(await rig.call('GET', '/v3/role_assignments?include_names&effective'), { status: 200 })
    server.modify(person('ann', 'Ann').replace('\n', '\nchangetype: add\n'))
    const again = await rig.signIn(scope, ann)
    t.strictSame(names(again.body.token.roles), ['member', 'reader'], 'the assignment has waited')
  })

  t.test('may change names, even with each other', async (t) => {
    const rename = (uid: string, cn: string) =>
      server.modify(`dn: uid=${uid},${USERS}\nchangetype: modify\nreplace: cn\ncn: ${cn}\n`)
    rename('ann', 'Bob')
    rename('bob', 'Ann')
    t.match(await rig.signIn(undefined, named('Ann', 'secret of bob', domainId)), { status: 201 })
    t.match(await rig.signIn(undefined, named('Bob', 'secret of ann', domainId)), {
      status: 201,
      body: { token: { user: { id: annId, name: 'Bob' } } },
    })
    rename('ann', 'Ann')
    rename('bob', 'Bob')
    const list = await rig.call('GET', `/v3/users?domain_id=${domainId}`)
    t.strictSame(names(list.body.users), ['Ann', 'Bob', 'Twin'])
    t.match(await rig.call('GET', `/v3/users/${annId}`), { body: { user: { name: 'Ann' } } })
  })

  t.test('are locked out after failures, like all others', async (t) => {
    const twin = named('Twin', 'wrong', domainId)
    for (let tries = 0; tries < 10; tries++) await rig.signIn(undefined, twin)
    const late = await rig.signIn(undefined, { ...twin, password: 'secret of twin1' })
    t.match(late, { status: 401 }, 'even with the right password')
  })

  t.test('a directory that is away: 503 to sign in and to list, tokens stay good', async (t) => {
    const token = await rig.token(scope, ann)
    await server.stop()
    t.match(await rig.signIn(undefined, ann), { status: 503 })
    t.match(await rig.call('GET', `/v3/users?domain_id=${domainId}`), { status: 503 })
    t.match(await rig.call('GET', `/v3/projects/${projectId}`, { token }), { status: 200 })
    t.match(await rig.call('GET', '/v3/users'), { status: 200 }, 'nor are others kept waiting')
    t.match(await rig.token(), /./)
    await server.restart()
    t.match(await rig.signIn(undefined, ann), { status: 201 })
  })

  t.test('are looked after while they hold tokens, though nobody asks', async (t) => {
    const other = await withDomain(t, ldapOptions(server.url), { watchedPerRound: 1 })
    await other.rig.token(undefined, named('Bob', 'secret of bob', other.domainId))
    const { revocations } = other.rig.service.parts
    const bobId = publicId(other.domainId, 'user', 'bob')
    t.notOk(revocations.events.some(({ userId }) => userId === bobId))
    server.modify(
      `dn: uid=bob,${USERS}\nchangetype: modify\nreplace: employeeType\nemployeeType: FALSE\n`,
    )
    for (let tries = 0; tries < 1000; tries++) {
      if (revocations.events.some(({ userId }) => userId === bobId)) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    t.ok(revocations.events.some(({ userId }) => userId === bobId))
  })

  t.test('a domain that is deleted leaves nothing', async (t) => {
    await rig.call('PATCH', `/v3/domains/${domainId}`, { body: { domain: { enabled: false } } })
    t.match(await rig.signIn(undefined, ann), { status: 401 })
    t.match(await rig.call('DELETE', `/v3/domains/${domainId}`), { status: 204 })
    t.match(await rig.call('GET', `/v3/users/${annId}`), { status: 404 })
    t.match(await rig.call('GET', `/v3/domains/${domainId}/config`), { status: 404 })
    const left = await rig.call('GET', '/v3/role_assignments')
    t.notMatch(JSON.stringify(left.body), annId)
  })
})

t.test('users of PAM', { skip: pamMissing() }, async (t) => {
  // Of `sécret wörd`.
  const hash =
    '$6$abcdefgh$vzwMQWF6nzRkP1Od290b6zSS8A8/2WBZPfffIYuURJ1YCruYApG9KdtsOOAtrh5djiY9OOmlDeiT10U/AvIhh1'
  const { env } = await makePamAccounts(t, {
    passwd: [
      'root:x:0:0::/:/bin/sh',
      'ann:x:1001:1001:Ann:/:/bin/sh',
      'bob:x:1002:1001::/:/bin/sh',
    ],
    group: ['ann:x:1001:', 'staff:x:1500:ann'],
    passwords: [`ann:${hash}`, `root:${hash}`],
    rules: { swiftlet: PWDFILE_RULES, other: 'auth required pam_deny.so\n' },
  })
  const config = { identity: { driver: 'pam' } }
  const { rig, domainId, projectId, roleId } = await withDomain(t, config, { pam: { env } })
  const list = await rig.call('GET', `/v3/users?domain_id=${domainId}`)
  t.strictSame(names(list.body.users), ['ann', 'bob'])
  const staffId = publicId(domainId, 'group', 'staff')
  const ann = named('ann', 'sécret wörd', domainId)
  t.match(await rig.signIn(undefined, ann), { status: 201 })
  const grant = `/v3/projects/${projectId}/groups/${staffId}/roles/${roleId('member')}`
  t.match(await rig.call('PUT', grant), { status: 204 })
  const { body } = await rig.signIn({ project: { id: projectId } }, ann)
  t.strictSame(names(body.token.roles), ['member', 'reader'])
  const refused = [
    named('ann', 'wrong', domainId),
    named('root', 'sécret wörd', domainId),
    named('bob', 'sécret wörd', domainId),
    named('-h', 'sécret wörd', domainId),
  ]
  const answers = await Promise.all(refused.map((user) => rig.signIn(undefined, user)))
  t.strictSame(
    answers.map(({ status }) => status),
    [401, 401, 401, 401],
  )
  t.match(await rig.call('DELETE', `/v3/users/${publicId(domainId, 'user', 'ann')}`), {
    status: 403,
    body: { error: { message: /PAM does not support write operations/ } },
  })
})

t.test('configurations of domains', async (t) => {
  const rig = await IdentityRig.start()
  t.teardown(() => rig.close())
  const made = await rig.call('POST', '/v3/domains', { body: { domain: { name: 'configured' } } })
  const path = `/v3/domains/${made.body.domain.id}/config`
  const call = (method: string, place = '', config?: unknown) =>
    rig.call(method, path + place, config === undefined ? {} : { body: { config } })
  const refused = {
    status: 403,
    body: { error: { message: /^Invalid domain specific configuration: / } },
  }

  t.match(await call('GET'), {
    status: 404,
    body: { error: { message: /Could not find any options in domain configuration/ } },
  })
  const first = {
    identity: { driver: 'ldap' },
    ldap: {
      url: 'ldap://127.0.0.1:1',
      password: 'hidden',
      user: 'cn=a',
      user_filter: '(a=%(password)s)',
    },
  }
  const put = await call('PUT', '', first)
  t.equal(put.status, 201)
  t.strictSame(put.body.config, {
    identity: { driver: 'ldap' },
    ldap: { url: 'ldap://127.0.0.1:1', user: 'cn=a', user_filter: '(a=%(password)s)' },
  })
  t.equal((await call('PUT', '', first)).status, 200, 'again')
  t.strictSame((await call('GET', '/ldap/url')).body, { config: { url: 'ldap://127.0.0.1:1' } })
  t.strictSame((await call('GET', '/identity')).body, { config: { identity: { driver: 'ldap' } } })
  t.match(await call('HEAD', '/ldap'), { status: 200, body: null })
  t.match(await call('GET', '/ldap/password'), { status: 404 }, 'a secret is never shown')
  t.match(await call('GET', '/ldap/suffix'), { status: 404 })
  t.match(await call('GET', '/none'), refused)
  t.match(await call('GET', '/ldap/none'), refused)

  t.match(await call('PATCH', '', { ldap: { suffix: 'dc=x' } }), {
    status: 200,
    body: { config: { ldap: { suffix: 'dc=x', user: 'cn=a' } } },
  })
  t.match(await call('PATCH', '/ldap', { ldap: { user: 'cn=b' } }), { status: 200 })
  t.match(await call('PATCH', '/ldap/password', { password: 'other' }), { status: 200 })
  t.match(await call('PATCH', '/ldap/page_size', { page_size: 5 }), { status: 404 })
  t.match(await call('PATCH', '/pam', { pam: { service: 'x' } }), { status: 404 })
  t.match(await call('PATCH', '/ldap', { identity: { driver: 'sql' } }), refused)
  t.match(
    await call('PATCH', '/ldap', { ldap: { user: 'x' }, identity: { driver: 'sql' } }),
    refused,
  )
  t.match(await call('PATCH', '/ldap/url', { user: 'x' }), refused)
  for (const wrong of [
    {},
    [],
    null,
    'ldap',
    { ldap: {} },
    { ldap: 'x' },
    { ldap: null },
    { sql: { connection: 'x' } },
    { ldap: { none: 1 } },
    { ldap: { constructor: 1 } },
    { __proto__x: { a: 1 } },
    { ldap: { url: { deep: 1 } } },
    { ldap: { chase_referrals: true } },
    { ldap: { user_enabled_emulation: true } },
  ]) {
    t.match(await call('PUT', '', wrong), refused, JSON.stringify(wrong))
  }
  t.match(await rig.call('PUT', path, { body: {} }), { status: 400 })
  t.match((await call('GET')).body.config, { ldap: { user: 'cn=b', suffix: 'dc=x' } }, 'as it was')

  t.match(await call('DELETE', '/ldap/suffix'), { status: 204 })
  t.match(await call('DELETE', '/ldap/suffix'), { status: 404 })
  t.match(await call('DELETE', '/identity'), { status: 204 })
  t.match(await call('DELETE', '/identity'), { status: 404 })
  t.match(await call('DELETE'), { status: 204 })
  t.match(await call('GET'), { status: 404 })

  const defaults = (await rig.call('GET', '/v3/domains/config/default')).body.config
  t.match(defaults, { identity: { driver: 'sql' }, ldap: { url: 'ldap://localhost' } })
  t.notOk('password' in defaults.ldap)
  t.strictSame((await rig.call('GET', '/v3/domains/config/ldap/url/default')).body, {
    config: { url: 'ldap://localhost' },
  })
  t.match(await rig.call('GET', '/v3/domains/config/ldap/password/default'), refused)
  t.match(await rig.call('GET', '/v3/domains/config/none/default'), refused)
  const rules = await rig.call('GET', '/v3/domains/default/config/security_compliance')
  t.strictSame(rules.body.config.security_compliance, {
    password_regex: null,
    password_regex_description: null,
  })
  t.match(await call('GET', '/security_compliance'), refused)

  const { body } = await rig.call('POST', '/v3/users', {
    body: { user: { name: 'plain', password: 'pw' } },
  })
  const token = await rig.token(undefined, { id: body.user.id, password: 'pw' })
  for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
    t.match(await rig.call(method, path, { token }), { status: 403 }, method)
    t.match(await rig.call(method, path, { token: null }), { status: 401 }, method)
    t.match(
      await rig.call(method, '/v3/domains/none/config', {
        body: method === 'GET' ? undefined : { config: first },
      }),
      { status: 404 },
      method,
    )
  }
})
