import { createHash } from 'node:crypto'
import { type Answer, created, NO_CONTENT } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { conflict, expecting, forbidden, forbiddenAction, invalid, notFound } from '../errors.ts'
import { change, type IdentityParts } from '../identity-parts.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { deleteCredential } from '../removal/credential-removal.ts'
import { openBlob, sealBlob } from '../secrets/credential-blobs.ts'
import { type CredentialRow, credentials, EC2_TYPE, TOTP_TYPE } from '../tables/credentials.ts'
import type { Delegation } from '../tokens/delegation.ts'
import { bodyOf, changed, extraOf, ID, refuseOtherId, type Values } from './bodies.ts'
import { refuseRestricted } from './delegated-callers.ts'
import {
  callerOrRefuse,
  enforce,
  type IdentityCall,
  type IdentityCaller,
  type IdentityRoute,
  mayDo,
} from './identity-call.ts'
import { type LongList, longListAnswer } from './long-lists.ts'
import { requireProject } from './project-view.ts'
import { requireUser } from './user-view.ts'
import { itemAnswer, linked } from './views.ts'

const PATH = '/v3/credentials'

export const credentialRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createCredential },
  { method: 'GET', path: PATH, handle: listCredentials },
  { method: 'GET', path: `${PATH}/:id`, handle: showCredential },
  { method: 'PATCH', path: `${PATH}/:id`, handle: updateCredential },
  { method: 'DELETE', path: `${PATH}/:id`, handle: removeCredential },
]

const PROPERTIES = {
  id: { type: 'string' },
  blob: { type: 'string' },
  project_id: { type: ['string', 'null'], maxLength: 64 },
  type: { type: 'string', minLength: 1, maxLength: 255 },
  user_id: ID,
}
const OWN = ['links', ...Object.keys(PROPERTIES)]
const CREATE = {
  properties: PROPERTIES,
  required: ['blob', 'type', 'user_id'],
  if: { properties: { type: { const: EC2_TYPE } } },
  // biome-ignore lint/suspicious/noThenProperty: a word of JSON schemas.
  then: { required: ['project_id'] },
}
const UPDATE = { properties: PROPERTIES, minProperties: 1 }

/** What the blob of an access key holds; more may stand in it. */
export interface AccessKeyBlob {
  readonly access: string
  readonly secret?: unknown
  readonly trust_id?: unknown
  readonly app_cred_id?: unknown
  readonly access_token_id?: unknown
}

/** Under which an access key is found: it is as good as a name, and stands in no table. */
export function accessHashOf(access: string): string {
  return createHash('sha256').update(access).digest('hex')
}

/** What the blob of an access key says of the delegation that it was made by. */
export function delegationOfBlob(
  delegation: Delegation | undefined,
): Partial<Record<(typeof MADE_BY)[number], string>> {
  switch (delegation?.kind) {
    case undefined:
      return {}
    case 'trust':
      return { trust_id: delegation.trust.id }
    case 'application-credential':
      return { app_cred_id: delegation.credential.id }
    case 'access-token':
      return { access_token_id: delegation.token.id }
  }
}

/** What an access key may say that it was made by: it is the service that says so. */
const MADE_BY = ['trust_id', 'app_cred_id', 'access_token_id'] as const

/**
 * Whether the caller may see and change the credential as far as a delegation goes: only what is of the same project, and
 * of access keys only those that it has made, no seeds of one-time codes. The secret of another one would give all that
 * its holder may do.
 */
export function isInDelegation(
  parts: Pick<IdentityParts, 'secrets'>,
  caller: IdentityCaller,
  row: CredentialRow,
): boolean {
  const { delegation } = caller.subject
  if (delegation === undefined) return true
  if (!isOfProject(caller, row.projectId) || row.type.toLowerCase() === TOTP_TYPE) return false
  if (row.accessHash === null) return true
  const [blob, own] = [parseAccessKey(openBlob(parts, row)), delegationOfBlob(delegation)]
  return MADE_BY.every((name) => (blob[name] ?? null) === (own[name] ?? null))
}

/** Throws 403 unless what the caller makes is of the project that its delegation is for, if it has one. */
export function refuseOtherProject(
  caller: IdentityCaller,
  projectId: string | null | undefined,
): void {
  if (!isOfProject(caller, projectId)) throw outOfDelegation()
}

/** Throws 403 for a credential that is not in the caller's delegation. */
export function refuseOutOfDelegation(
  parts: Pick<IdentityParts, 'secrets'>,
  caller: IdentityCaller,
  row: CredentialRow,
): void {
  if (!isInDelegation(parts, caller, row)) throw outOfDelegation()
}

function isOfProject({ subject }: IdentityCaller, projectId: string | null | undefined): boolean {
  const { delegation, scope } = subject
  if (delegation === undefined) return true
  return scope.kind === 'project' && scope.project.id === projectId
}

function outOfDelegation() {
  return forbiddenAction(
    'Credential project does not match the project scope of the delegated token',
  )
}

async function createCredential(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const caller = callerOrRefuse(call)
  const values = bodyOf(call, 'credential', CREATE)
  enforce(call, 'create_credential', { target: { credential: values } })
  const type = values.type as string
  const isEc2 = type.toLowerCase() === EC2_TYPE
  if (isEc2) refuseRestricted(caller, 'credentials')
  const made = isEc2
    ? newAccessKey(values.blob as string, caller.subject.delegation)
    : { id: randomId(parts.random), blob: values.blob as string, accessHash: null }
  const row: CredentialRow = {
    id: made.id,
    type,
    userId: values.user_id as string,
    projectId: (values.project_id as string | null | undefined) ?? null,
    sealedSecret: sealBlob(parts, made.id, made.blob),
    accessHash: made.accessHash,
    extra: extraOf(values, OWN),
  }
  refuseOutOfDelegation(parts, caller, row)
  await keepNewCredential(parts, row)
  return created({ credential: linked(call, 'credentials', showRow(parts, row)) })
}

/** Writes a new credential. Throws 403 if its user has too many, 404 without user or project, 409 if it is there. */
export async function keepNewCredential(parts: IdentityParts, row: CredentialRow): Promise<void> {
  await parts.state.transaction(async (tx) => {
    await requireUser(tx, row.userId)
    if (row.projectId !== null) await requireProject(tx, row.projectId)
    await refuseTooMany(tx, row.userId, parts.settings.credentialsPerUserMax)
    await refuseDuplicate(tx, row)
    await credentials.put(tx, row)
  })
}

function newAccessKey(blob: string, delegation: Delegation | undefined) {
  const parsed = parseAccessKey(blob)
  const foreign = MADE_BY.find((name) => parsed[name] != null)
  if (foreign !== undefined) throw invalid(`${foreign} can not be set for credential`)
  const id = accessHashOf(parsed.access)
  const by = delegationOfBlob(delegation)
  const complete = delegation === undefined ? blob : JSON.stringify({ ...parsed, ...by })
  return { id, blob: complete, accessHash: id }
}

/** The blob of an access key. Throws 400 unless it is an object with an `access`. */
export function parseAccessKey(blob: string): AccessKeyBlob {
  let parsed: unknown
  try {
    parsed = JSON.parse(blob)
  } catch {
    throw invalid('Invalid blob in credential')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw expecting('blob', 'credential')
  }
  const { access } = parsed as Readonly<Record<string, unknown>>
  if (typeof access !== 'string' || access === '') throw expecting('access', 'credential')
  return parsed as AccessKeyBlob
}

async function refuseTooMany(
  tx: StateTransaction,
  userId: string,
  max: number | null,
): Promise<void> {
  if (max === null || (await credentials.by(tx, 'user', userId)).length < max) return
  throw forbidden(
    `Unable to create additional credentials, maximum of ${max} already exceeded for user.`,
  )
}

async function refuseDuplicate(tx: StateTransaction, row: CredentialRow): Promise<void> {
  const same = await credentials.get(tx, row.id)
  const other =
    row.accessHash === null ? undefined : await credentials.one(tx, 'access', row.accessHash)
  if (same !== undefined || other !== undefined) {
    throw conflict('credential', 'Duplicate entry found for the access key')
  }
}

async function listCredentials(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const caller = callerOrRefuse(call)
  const own = caller.scope === 'system' ? {} : { credential: { user_id: caller.subject.user.id } }
  enforce(call, 'list_credentials', { target: own })
  const userId = call.query.get('user_id')
  const { state } = parts
  const list: LongList<CredentialRow> = {
    pages: (after) => {
      const from = after === undefined ? {} : { after }
      if (userId === null) return credentials.pages(state, from)
      return credentials.pagesBy(state, 'user', { values: [userId], ...from })
    },
    get: (id) => credentials.get(state, id),
    isWanted: (row) =>
      mayDo(call, 'get_credential', { target: { credential: targetOf(row) } }) &&
      isInDelegation(parts, caller, row),
    show: (row) => showRow(parts, row),
  }
  return longListAnswer(call, list, { name: 'credentials', filters: ['user_id', 'type'] })
}

async function showCredential(call: IdentityCall): Promise<Answer> {
  const row = await enforcedCredential(call, 'get_credential')
  return itemAnswer(call, showRow(call.context.parts, row), { name: 'credential' })
}

async function updateCredential(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const caller = callerOrRefuse(call)
  const { id } = await enforcedCredential(call, 'update_credential')
  const values = bodyOf(call, 'credential', UPDATE)
  refuseOtherId(values, id)
  const row = await parts.state.transaction(async (tx) => {
    const before = await requireCredential(tx, id)
    const after = updatedCredential(parts, before, values)
    // Whoever changes it must not give it to somebody else.
    enforce(call, 'update_credential', { target: { credential: targetOf(after) } })
    refuseOutOfDelegation(parts, caller, after)
    if (after.projectId !== null && after.projectId !== before.projectId) {
      await requireProject(tx, after.projectId)
    }
    await refuseTakenAccess(tx, after)
    await credentials.put(tx, after)
    return after
  })
  return itemAnswer(call, showRow(parts, row), { name: 'credential' })
}

function updatedCredential(
  parts: IdentityParts,
  before: CredentialRow,
  values: Values,
): CredentialRow {
  const type = changed(values, 'type', before.type)
  const projectId = changed(values, 'project_id', before.projectId)
  const isEc2 = type.toLowerCase() === EC2_TYPE
  if (isEc2 && projectId === null) throw expecting('project_id', 'credential')
  const blob = Object.hasOwn(values, 'blob') ? (values.blob as string) : openBlob(parts, before)
  if (isEc2) refuseOtherDelegation(parts, before, parseAccessKey(blob))
  return {
    ...before,
    type,
    projectId,
    userId: changed(values, 'user_id', before.userId),
    sealedSecret: sealBlob(parts, before.id, blob),
    accessHash: isEc2 ? accessHashOf(parseAccessKey(blob).access) : null,
    extra: { ...before.extra, ...extraOf(values, OWN) },
  }
}

/** What an access key was made by stays with it. */
function refuseOtherDelegation(
  parts: IdentityParts,
  before: CredentialRow,
  blob: AccessKeyBlob,
): void {
  const was: Partial<AccessKeyBlob> =
    before.accessHash === null ? {} : parseAccessKey(openBlob(parts, before))
  for (const name of MADE_BY) {
    if ((was[name] ?? null) === (blob[name] ?? null)) continue
    throw invalid(`${name} can not be updated for credential`)
  }
}

async function refuseTakenAccess(tx: StateTransaction, row: CredentialRow): Promise<void> {
  if (row.accessHash === null) return
  const other = await credentials.one(tx, 'access', row.accessHash)
  if (other === undefined || other.id === row.id) return
  throw conflict('credential', 'Duplicate entry found for the access key')
}

async function removeCredential(call: IdentityCall): Promise<Answer> {
  const { id } = await enforcedCredential(call, 'delete_credential')
  await change(call.context.parts, async (changing) => {
    await requireCredential(changing.tx, id)
    await deleteCredential(changing, id)
  })
  return NO_CONTENT
}

/** The credential, if the caller may do it. */
async function enforcedCredential(
  call: IdentityCall,
  action: PolicyAction,
): Promise<CredentialRow> {
  const caller = callerOrRefuse(call)
  const { parts } = call.context
  const { id = '' } = call.params
  const row = await credentials.get(parts.state, id)
  enforce(call, action, {
    target: row === undefined ? {} : { credential: targetOf(row) },
  })
  if (row === undefined) throw notFound('credential', id)
  refuseOutOfDelegation(parts, caller, row)
  return row
}

async function requireCredential(reader: StateReader, id: string): Promise<CredentialRow> {
  const row = await credentials.get(reader, id)
  if (row === undefined) throw notFound('credential', id)
  return row
}

/** As rules see it: without its secret. */
export function targetOf({ id, type, userId, projectId }: CredentialRow) {
  return { id, type, user_id: userId, project_id: projectId }
}

function showRow(parts: IdentityParts, row: CredentialRow) {
  return { ...row.extra, ...targetOf(row), blob: openBlob(parts, row) }
}
