import { type Answer, created, NO_CONTENT } from '../../common/http/route.ts'
import type { PolicyFacts } from '../../common/policy/policy.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { impliedClosure } from '../assignments/effective-roles.ts'
import { conflict, forbidden, forbiddenAction, invalid, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import { deleteApplicationCredential } from '../removal/delegation-removal.ts'
import {
  type AccessRuleRow,
  type ApplicationCredentialRow,
  accessRules,
  applicationCredentials,
} from '../tables/application-credentials.ts'
import type { RoleRow } from '../tables/rows.ts'
import { roles } from '../tables/tables.ts'
import { parseExpiry } from '../tokens/expiry.ts'
import { hashKey, SALT_BYTES } from '../user-key.ts'
import { showAccessRule } from './access-rules.ts'
import { bodyOf, ID, nameSchema, TEXT_OR_NULL, type Values } from './bodies.ts'
import { refuseRestricted, refuseTrusted } from './delegated-callers.ts'
import {
  callerOrRefuse,
  enforce,
  type IdentityCall,
  type IdentityCaller,
  type IdentityRoute,
} from './identity-call.ts'
import { showRoleRow } from './roles.ts'
import { requireUser } from './user-view.ts'
import { itemAnswer, linked, listAnswer } from './views.ts'

const PATH = '/v3/users/:userId/application_credentials'

export const applicationCredentialRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createCredential },
  { method: 'GET', path: PATH, handle: listCredentials },
  { method: 'GET', path: `${PATH}/:id`, handle: showCredential },
  { method: 'DELETE', path: `${PATH}/:id`, handle: deleteCredential },
]

const RULE = {
  type: 'object',
  additionalProperties: false,
  properties: {
    id: ID,
    path: { type: 'string', maxLength: 225, pattern: '^/' },
    service: { type: 'string', minLength: 1, maxLength: 64 },
    method: { enum: ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'] },
  },
  anyOf: [{ required: ['id'] }, { required: ['path', 'service', 'method'] }],
}
const CREATE = {
  additionalProperties: false,
  required: ['name'],
  properties: {
    id: { type: 'string' },
    name: nameSchema(255),
    description: TEXT_OR_NULL,
    secret: { type: ['string', 'null'], maxLength: 4096 },
    expires_at: TEXT_OR_NULL,
    project_id: { type: 'string' },
    system: TEXT_OR_NULL,
    unrestricted: { type: ['boolean', 'null'] },
    access_rules: { type: ['array', 'null'], items: RULE, maxItems: 128 },
    roles: {
      type: 'array',
      maxItems: 128,
      items: {
        type: 'object',
        additionalProperties: false,
        minProperties: 1,
        maxProperties: 1,
        properties: { id: ID, name: nameSchema(255) },
      },
    },
  },
}
/** As many as Keystone's. */
const SECRET_BYTES = 64

type RuleInput = Partial<Pick<AccessRuleRow, 'id' | 'service' | 'path' | 'method'>>

async function createCredential(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { userId = '' } = call.params
  enforce(call, 'create_application_credential', { user_id: userId })
  const caller = callerOrRefuse(call)
  refuseTrusted(caller, 'application credentials')
  refuseRestricted(caller, 'application credentials')
  const { scope } = caller.subject
  if (scope.kind !== 'project') throw forbiddenAction('create_application_credential')
  const values = bodyOf(call, 'application_credential', CREATE)
  const secret =
    values.secret || Buffer.from(parts.random.bytes(SECRET_BYTES)).toString('base64url')
  const rules = values.access_rules as readonly RuleInput[] | null | undefined
  const row: ApplicationCredentialRow = {
    id: randomId(parts.random),
    name: values.name as string,
    userId,
    projectId: scope.project.id,
    description: (values.description as string | null | undefined) ?? null,
    secretHash: await hashKey(secret as string, parts.random.bytes(SALT_BYTES)),
    roleIds: await chosenRoles(parts.state, caller, values),
    expiresAt:
      typeof values.expires_at === 'string'
        ? parseExpiry(values.expires_at, parts.clock.nowMs())
        : null,
    unrestricted: values.unrestricted === true,
    accessRuleIds: null,
  }
  const newIds = (rules ?? []).map(() => randomId(parts.random))
  const stored = await parts.state.transaction(async (tx) => {
    await refuseTooMany(tx, userId, parts.settings.applicationCredentialsPerUserMax)
    await refuseDuplicate(tx, row)
    const accessRuleIds = rules == null ? null : await keepRules(tx, { userId, rules, newIds })
    const complete = { ...row, accessRuleIds }
    await applicationCredentials.put(tx, complete)
    return complete
  })
  const shown = { ...(await showRow(parts.state, stored)), secret }
  return created({ application_credential: linked(call, collectionOf(userId), shown) })
}

/** The roles wanted with what they imply: no others than the token has; all of these if none are named. */
async function chosenRoles(
  reader: StateReader,
  { subject }: IdentityCaller,
  values: Values,
): Promise<readonly string[]> {
  const held = subject.roles.map(({ id }) => id)
  const wanted = values.roles as readonly Partial<RoleRow>[] | undefined
  if (wanted === undefined || wanted.length === 0) return held
  const ids = await Promise.all(wanted.map((role) => roleId(reader, role)))
  const all = [...(await impliedClosure(reader, new Set(ids)))]
  if (all.every((id) => held.includes(id))) return all
  throw invalidCredential('Cannot create an application credential with unassigned role')
}

/** The id of a role that is named by it or, if it is of no domain, by name; 404 if there is none. */
export async function roleId(reader: StateReader, { id, name }: Partial<RoleRow>): Promise<string> {
  const row =
    id !== undefined ? await roles.get(reader, id) : await roles.one(reader, 'name', '', name ?? '')
  if (row === undefined) throw notFound('role', id ?? name ?? '')
  return row.id
}

/** Ids of the rules: of those there are, and of new ones. */
async function keepRules(
  tx: StateTransaction,
  {
    userId,
    rules,
    newIds,
  }: {
    readonly userId: string
    readonly rules: readonly RuleInput[]
    readonly newIds: readonly string[]
  },
): Promise<readonly string[]> {
  const ids = new Set<string>()
  for (const [index, rule] of rules.entries()) {
    const { id, service = '', path = '', method = '' } = rule
    const before =
      id !== undefined
        ? await accessRules.get(tx, id)
        : await accessRules.one(tx, 'call', userId, service, method, path)
    if (id !== undefined && before?.userId !== userId) throw notFound('Access Rule', id)
    const row = before ?? { id: newIds[index]!, userId, service, path, method }
    if (before === undefined) await accessRules.put(tx, row)
    ids.add(row.id)
  }
  return [...ids]
}

async function refuseTooMany(
  tx: StateTransaction,
  userId: string,
  max: number | null,
): Promise<void> {
  if (max === null) return
  if ((await applicationCredentials.by(tx, 'name', userId)).length < max) return
  throw forbidden(
    `Unable to create additional application credentials, maximum of ${max} already exceeded for user.`,
  )
}

async function refuseDuplicate(tx: StateTransaction, row: ApplicationCredentialRow): Promise<void> {
  if ((await applicationCredentials.one(tx, 'name', row.userId, row.name)) === undefined) return
  throw conflict('application_credential', `Duplicate entry found with name ${row.name}`)
}

async function listCredentials(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { userId = '' } = call.params
  enforce(call, 'list_application_credentials', { user_id: userId })
  refuseTrusted(callerOrRefuse(call), 'application credentials')
  await requireUser(state, userId)
  const rows = await applicationCredentials.by(state, 'name', userId)
  return listAnswer(call, await Promise.all(rows.map((row) => showRow(state, row))), {
    name: 'application_credentials',
    collection: collectionOf(userId),
    filters: ['name'],
  })
}

async function showCredential(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  enforce(call, 'get_application_credential', await ownerTarget(call))
  refuseTrusted(callerOrRefuse(call), 'application credentials')
  const row = await requireCredential(call, state)
  return itemAnswer(call, await showRow(state, row), {
    name: 'application_credential',
    collection: collectionOf(row.userId),
  })
}

async function deleteCredential(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_application_credential', await ownerTarget(call))
  const caller = callerOrRefuse(call)
  refuseTrusted(caller, 'application credentials')
  refuseRestricted(caller, 'application credentials')
  await change(call.context.parts, async (changing) => {
    const row = await requireCredential(call, changing.tx)
    await deleteApplicationCredential(changing, row.id)
  })
  return NO_CONTENT
}

/** Whose it is in truth, whatever user the path names. */
async function ownerTarget(call: IdentityCall): Promise<PolicyFacts> {
  const { userId = '', id = '' } = call.params
  const row = await applicationCredentials.get(call.context.parts.state, id)
  return { user_id: row?.userId ?? userId }
}

async function requireCredential(
  call: IdentityCall,
  reader: StateReader,
): Promise<ApplicationCredentialRow> {
  const { userId = '', id = '' } = call.params
  const row = await applicationCredentials.get(reader, id)
  if (row === undefined || row.userId !== userId) throw notFound('Application Credential', id)
  return row
}

async function showRow(reader: StateReader, row: ApplicationCredentialRow) {
  const { id, name, userId, projectId, description, unrestricted, roleIds, accessRuleIds } = row
  const found = await Promise.all(roleIds.map((role) => roles.get(reader, role)))
  const rules = await Promise.all(
    (accessRuleIds ?? []).map((rule) => accessRules.get(reader, rule)),
  )
  return {
    id,
    name,
    description,
    user_id: userId,
    project_id: projectId,
    system: null,
    roles: found.filter((role) => role !== undefined).map(showRoleRow),
    // Here alone Keystone writes no zone.
    expires_at: row.expiresAt?.replace(/Z$/, '') ?? null,
    unrestricted,
    ...(accessRuleIds !== null && {
      access_rules: rules.filter((rule) => rule !== undefined).map(showAccessRule),
    }),
  }
}

function collectionOf(userId: string): string {
  return `users/${encodeURIComponent(userId)}/application_credentials`
}

function invalidCredential(detail: string) {
  return invalid(`Invalid application credential: ${detail}`)
}
