import t from 'tap'
import { allowsCall, matchesPath } from '../../common/token/access-rules.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { PROXY_DEFAULTS } from '../proxy-options.ts'
import { grantByGroups, isOwnAccount } from '../swift/authorise.ts'
import { hasUniqueNames, PROJECT_DOMAIN_HEADER, projectDomainOf } from '../swift/project-domain.ts'
import { keystoneCaller } from './keystone-caller.ts'
import { KEYSTONE_DEFAULTS, type KeystoneSettings } from './keystone-settings.ts'

const DEFAULT = { id: 'default', name: 'Default' }
const COMPANY = { id: 'company', name: 'Company' }

const ANN: TokenClaims = {
  user: { id: 'u1', name: 'ann', domain: DEFAULT },
  methods: ['password'],
  auditIds: ['audit'],
  issuedAtMs: 0,
  expiresAtMs: 1000,
  scope: { kind: 'project', id: 'p1', name: 'demo', domain: DEFAULT },
  roles: [{ id: 'r1', name: 'Member' }],
}

const callerOf = (claims: Partial<TokenClaims>, settings: Partial<KeystoneSettings> = {}) =>
  keystoneCaller(
    { ...ANN, ...claims },
    {
      settings: { ...KEYSTONE_DEFAULTS, ...settings },
      prefixes: PROXY_DEFAULTS.resellerPrefixes,
    },
  )
const rolesOf = (...names: string[]) => names.map((name) => ({ id: `${name}-id`, name }))

t.test(
  'an operator owns the accounts of the project, and is its ids and names to ACLs',
  async (t) => {
    t.strictSame(callerOf({}), {
      user: 'demo:ann',
      account: 'AUTH_p1',
      groups: ['p1:u1', 'AUTH_p1', 'SERVICE_p1'],
      serviceGroups: [],
      project: {
        id: 'p1',
        domainId: 'default',
        roles: ['member'],
        reads: [],
        names: ['p1:ann', 'demo:u1', 'demo:ann'],
      },
      expiresAtMs: 1000,
    })
  },
)

t.test('roles give what they are configured to, in any case', async (t) => {
  const groups = (...names: string[]) => callerOf({ roles: rolesOf(...names) }).groups
  t.strictSame(groups('reader'), ['p1:u1'])
  t.strictSame(callerOf({ roles: rolesOf('READER') }).project?.reads, ['AUTH_p1'])
  t.strictSame(groups('guest'), ['p1:u1'])
  t.strictSame(groups('SwiftOperator'), ['p1:u1', 'AUTH_p1', 'SERVICE_p1'])
  t.strictSame(groups('reselleradmin'), ['p1:u1', '.reseller_admin'])
  t.strictSame(callerOf({ roles: rolesOf('service') }).groups, ['p1:u1'], 'nothing by itself')
  t.strictSame(callerOf({ roles: rolesOf('service') }).serviceGroups, ['.service SERVICE_'])
  const auditor = callerOf({ roles: rolesOf('auditor') }, { systemReaderRoles: ['Auditor'] })
  t.strictSame(auditor.groups, ['p1:u1', '.reseller_reader'])
  t.strictSame(callerOf({}, { operatorRoles: ['boss'] }).groups, ['p1:u1'])
})

t.test('each prefix may have roles of its own', async (t) => {
  const prefixes = [
    { prefix: 'AUTH_', operatorRoles: ['member'], readerRoles: ['looker'] },
    { prefix: 'LAB_', operatorRoles: ['scientist'] },
    { prefix: 'SERVICE_', serviceRoles: ['service'] },
    { prefix: 'IMAGE_', serviceRoles: ['glance'] },
  ]
  const callerWith = (...names: string[]) =>
    keystoneCaller({ ...ANN, roles: rolesOf(...names) }, { settings: KEYSTONE_DEFAULTS, prefixes })
  const owned = (...names: string[]) => callerWith(...names).groups.slice(1)
  t.strictSame(owned('member'), ['AUTH_p1', 'SERVICE_p1', 'IMAGE_p1'])
  t.strictSame(owned('Scientist'), ['LAB_p1'])
  t.strictSame(owned('looker'), [])
  t.strictSame(callerWith('looker').project?.reads, ['AUTH_p1'])
  t.strictSame(callerWith('reader').project?.reads, ['LAB_p1'], 'not those of services')
  t.strictSame(callerWith('glance').serviceGroups, ['.service IMAGE_'])
  t.strictSame(callerWith('service').serviceGroups, ['.service SERVICE_'])
  const ask = (account: string, method: string, ...names: string[]) => {
    const { groups, project, serviceGroups = [] } = callerWith(...names)
    const path = { account, container: 'c', object: undefined }
    const own = isOwnAccount(account, project, prefixes)
    const request = { method, path, groups: [...groups, ...serviceGroups], project, own }
    return grantByGroups({ ...request, referer: undefined }, prefixes)?.owner
  }
  t.equal(ask('AUTH_p1', 'PUT', 'member'), true)
  t.equal(ask('LAB_p1', 'PUT', 'member'), undefined)
  t.equal(ask('LAB_p1', 'PUT', 'scientist'), true)
  t.equal(ask('AUTH_p1', 'GET', 'looker'), false)
  t.equal(ask('LAB_p1', 'GET', 'looker'), undefined)
  t.equal(ask('SERVICE_p1', 'PUT', 'member'), undefined)
  t.equal(ask('SERVICE_p1', 'PUT', 'member', 'service'), true)
  t.equal(ask('IMAGE_p1', 'PUT', 'member', 'service'), undefined)
  t.equal(ask('IMAGE_p1', 'PUT', 'member', 'glance'), true)
})

t.test('tokens without a project own nothing, whatever their roles', async (t) => {
  const scopes: TokenClaims['scope'][] = [
    { kind: 'unscoped' },
    { kind: 'system' },
    { kind: 'domain', ...DEFAULT },
  ]
  for (const scope of scopes) {
    const caller = callerOf({ scope, roles: rolesOf('admin', 'reader') })
    t.strictSame(caller.groups, [':u1'], scope.kind)
    t.match(caller.project, { id: null, reads: [] })
  }
})

t.test(
  'names that a role or a person could be given to be somebody else count for nothing',
  async (t) => {
    const roles = ['.reseller_admin', '.admin', 'p2:u2', 'a,b', '*', 'AUTH_p2']
    const caller = callerOf({ roles: rolesOf(...roles) })
    t.strictSame(caller.groups, ['p1:u1'])
    t.strictSame(caller.project?.roles, ['auth_p2'], 'it opens own accounts only, if they name it')
    const named = (user: string, project: string) =>
      callerOf({
        user: { ...ANN.user, name: user },
        scope: { kind: 'project', id: 'p1', name: project, domain: DEFAULT },
      }).project?.names
    t.strictSame(named('a:b', 'demo'), ['demo:u1'])
    t.strictSame(named('ann', 'a:b'), ['p1:ann'])
    t.strictSame(named('*', '*'), [])
    t.strictSame(named('0123456789abcdef0123456789ABCDEF', 'demo'), ['demo:u1'], "another's id")
    t.strictSame(callerOf({ user: { ...ANN.user, domain: COMPANY } }).project?.names, [])
    const scope = { kind: 'project', id: 'p1', name: 'demo', domain: COMPANY } as const
    t.strictSame(callerOf({ scope }).project?.names, [])
    t.strictSame(callerOf({}, { namesInAcls: false }).project?.names, [])
  },
)

t.test('access rules of other services allow nothing here', async (t) => {
  const rule = { service: 'object-store', method: 'GET', path: '/v1/**' }
  const rules = [rule, { ...rule, service: 'image', method: 'PUT' }]
  const credential = { id: 'c', restricted: true }
  const restricted = callerOf({ applicationCredential: { ...credential, accessRules: rules } })
  t.strictSame(restricted.calls, [rule])
  const nothing = callerOf({ applicationCredential: { ...credential, accessRules: [] } })
  t.strictSame(nothing.calls, [])
  t.equal(callerOf({ applicationCredential: credential }).calls, undefined)
})

t.test('paths fit the patterns of access rules', async (t) => {
  const cases: [pattern: string, path: string, fits: boolean][] = [
    ['/v1/AUTH_p/c/o', '/v1/AUTH_p/c/o', true],
    ['/v1/AUTH_p/c', '/v1/AUTH_p/c/o', false],
    ['/v1/AUTH_p/c/o', '/v1/AUTH_p/c', false],
    ['/v1/*/c', '/v1/AUTH_p/c', true],
    ['/v1/{account}/c', '/v1/AUTH_p/c', true],
    ['/v1/*/c', '/v1//c', false],
    ['/v1/*/c', '/v1/a/b/c', false],
    ['/v1/**', '/v1/AUTH_p/c/o', true],
    ['/v1/**', '/v1/', true],
    ['/v1/**/secret', '/v1/a/b/secret', true],
    ['/v1/**/secret', '/v1/a/b/secrets', false],
    ['**', '/anything/at/all', true],
    ['/v1/a*/c', '/v1/abc/c', true],
    ['/v1/a*/c', '/v1/a/c', false],
    ['/v1/.*', '/v1/x', false],
    ['/v1/a+', '/v1/aa', false],
    ['/v1/(a', '/v1/(a', true],
    ['/v1/{a', '/v1/{a', true],
    ['', '', true],
    ['', '/v1', false],
    ['*', '', false],
    ['**', '', true],
  ]
  for (const [pattern, path, fits] of cases) {
    t.equal(matchesPath(pattern, path), fits, `${pattern} ${path}`)
  }
  const rules = [{ method: 'GET', path: '/v1/**' }]
  t.ok(allowsCall(rules, { method: 'GET', path: '/v1/x' }))
  t.notOk(allowsCall(rules, { method: 'PUT', path: '/v1/x' }))
  t.notOk(allowsCall([], { method: 'GET', path: '/v1/x' }))
  const started = performance.now()
  t.notOk(matchesPath(`${'**a'.repeat(60)}b`, 'a'.repeat(3000)))
  t.ok(performance.now() - started < 2000, 'a nasty pattern does not hold everybody up')
})

t.test('an account notes the domain of its project, when that can be told', async (t) => {
  const project = { id: 'p1', domainId: 'default', roles: [], reads: [], names: [] }
  const ours = { project, own: true }
  const company = { project: { ...project, domainId: 'company' }, own: true }
  const strange = { project, own: false }
  const noted = (value: string) => ({ [PROJECT_DOMAIN_HEADER]: value })
  const cases: [string, Parameters<typeof projectDomainOf>[0], string | undefined][] = [
    ['made by its own', { account: null, ...ours }, 'default'],
    ['made by its own of another domain', { account: null, ...company }, 'company'],
    ['made by somebody else', { account: null, ...strange }, '_unknown'],
    ['made without Keystone', { account: null, project: undefined, own: false }, undefined],
    ['older than domains', { account: {}, ...ours }, 'default'],
    ['older than domains, of another', { account: {}, ...company }, undefined],
    ['unknown, seen by its own', { account: noted('_unknown'), ...company }, 'company'],
    ['unknown, seen by others', { account: noted('_unknown'), ...strange }, undefined],
    ['known', { account: noted('company'), ...ours }, undefined],
  ]
  for (const [what, change, domain] of cases) t.equal(projectDomainOf(change), domain, what)
  t.ok(hasUniqueNames({}))
  t.ok(hasUniqueNames(noted('default')))
  t.notOk(hasUniqueNames(noted('company')))
  t.notOk(hasUniqueNames(noted('_unknown')))
})
