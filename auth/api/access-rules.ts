import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { forbidden, notFound } from '../errors.ts'
import type { PolicyAction } from '../policy/rules.ts'
import {
  type AccessRuleRow,
  accessRules,
  applicationCredentials,
} from '../tables/application-credentials.ts'
import { refuseTrusted } from './delegated-callers.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { requireUser, userTarget } from './user-view.ts'
import { itemAnswer, listAnswer } from './views.ts'

const PATH = '/v3/users/:userId/access_rules'

export const accessRuleRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: PATH, handle: listRules },
  { method: 'GET', path: `${PATH}/:id`, handle: showRule },
  { method: 'DELETE', path: `${PATH}/:id`, handle: deleteRule },
]

/** An access rule as the API shows it. */
export function showAccessRule({ id, service, path, method }: AccessRuleRow) {
  return { id, service, path, method }
}

async function listRules(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { userId = '' } = call.params
  await enforceFor(call, 'list_access_rules')
  await requireUser(state, userId)
  const rows = await accessRules.by(state, 'call', userId)
  return listAnswer(call, rows.map(showAccessRule), {
    name: 'access_rules',
    collection: collectionOf(userId),
    filters: ['service', 'path', 'method'],
  })
}

async function showRule(call: IdentityCall): Promise<Answer> {
  await enforceFor(call, 'get_access_rule')
  const row = await requireRule(call, call.context.parts.state)
  return itemAnswer(call, showAccessRule(row), {
    name: 'access_rule',
    collection: collectionOf(row.userId),
  })
}

async function deleteRule(call: IdentityCall): Promise<Answer> {
  await enforceFor(call, 'delete_access_rule')
  await call.context.parts.state.transaction(async (tx) => {
    const { id } = await requireRule(call, tx)
    if ((await applicationCredentials.by(tx, 'rule', id)).length > 0) {
      throw forbidden('May not delete access rule in use')
    }
    await accessRules.delete(tx, id)
  })
  return NO_CONTENT
}

async function enforceFor(call: IdentityCall, action: PolicyAction): Promise<void> {
  enforce(call, action, await userTarget(call.context.parts.state, call.params.userId ?? ''))
  refuseTrusted(callerOrRefuse(call), 'application credentials')
}

/** The rule, if it is one of the user of the path. */
async function requireRule(call: IdentityCall, reader: StateReader): Promise<AccessRuleRow> {
  const { userId = '', id = '' } = call.params
  const row = await accessRules.get(reader, id)
  if (row === undefined || row.userId !== userId) throw notFound('Access Rule', id)
  return row
}

function collectionOf(userId: string): string {
  return `users/${encodeURIComponent(userId)}/access_rules`
}
