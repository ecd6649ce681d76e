import t from 'tap'
import { Policy } from './policy.ts'

const policy = new Policy({
  open: '',
  never: '!',
  admin: 'role:admin',
  owner: 'user_id:%(target.user.id)s',
  either: 'rule:admin or (role:reader and rule:owner)',
  precedence: 'role:a or role:b and role:c',
  domain: 'domain_id:%(target.domain_id)s',
  scoped: 'role:manager and not domain_id:None',
  literal: "'member':%(target.role.name)s",
  nobody: 'None:%(target.project.domain_id)s',
  nested: 'token.domain.id:%(target.user.domain_id)s',
  circle: 'rule:circle',
  dangling: 'rule:gone',
  cloud: 'role:admin and is_admin_project:True',
})

const allows = (
  rule: string,
  who: { roles?: string[]; [name: string]: unknown } = {},
  target: Record<string, unknown> = {},
) => policy.allows(rule, { roles: [], ...who }, target)

t.test('roles, attributes, literals and other rules decide', async (t) => {
  t.ok(allows('open'))
  t.notOk(allows('never', { roles: ['admin'] }))
  t.ok(allows('admin', { roles: ['Admin'] }), 'role names have no case')
  t.notOk(allows('admin', { roles: ['administrator'] }))
  t.ok(allows('owner', { user_id: 'u' }, { target: { user: { id: 'u' } } }))
  t.notOk(allows('owner', { user_id: 'u' }, { target: { user: {} } }), 'nothing to compare with')
  t.ok(allows('either', { roles: ['reader'], user_id: 'u' }, { target: { user: { id: 'u' } } }))
  t.notOk(allows('either', { roles: ['reader'], user_id: 'u' }, { target: { user: { id: 'v' } } }))
  t.ok(allows('precedence', { roles: ['a'] }), 'and binds stronger than or')
  t.notOk(allows('precedence', { roles: ['b'] }))
  t.ok(allows('literal', {}, { target: { role: { name: 'member' } } }))
  t.notOk(allows('literal', {}, { target: { role: { name: 'admin' } } }))
  t.ok(allows('nobody', {}, { target: { project: { domain_id: null } } }))
  t.ok(
    allows('nested', { token: { domain: { id: 'd' } } }, { target: { user: { domain_id: 'd' } } }),
  )
})

t.test('no domain of the caller is not the missing domain of the target', async (t) => {
  t.notOk(allows('domain', { domain_id: null }, { target: { domain_id: null } }))
  t.notOk(allows('domain', {}, { target: { domain_id: null } }))
  t.ok(allows('scoped', { roles: ['manager'], domain_id: 'd' }))
  t.notOk(allows('scoped', { roles: ['manager'], domain_id: null }))
})

t.test('what cannot be read is refused when it is read, a circle when it is asked', async (t) => {
  for (const text of ['role:', 'role:a and', '(role:a', 'role:a role:b', 'nothing', ')', 'not']) {
    t.throws(() => new Policy({ bad: text }), { code: 'BadPolicy' }, text)
  }
  t.throws(() => allows('circle'), { code: 'BadPolicy' })
  t.notOk(allows('dangling'))
  t.notOk(allows('cloud', { roles: ['admin'] }), 'nobody is of an admin project')
  t.throws(() => allows('unknown'), { code: 'BadPolicy' })
  t.notOk(allows('owner', { user_id: 'x' }, { target: { user: { id: {} } } }))
  t.notOk(allows('owner', { user_id: 'None' }, { target: { __proto__: { user: { id: 'None' } } } }))
})
