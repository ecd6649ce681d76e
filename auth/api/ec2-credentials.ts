import { type Answer, created, NO_CONTENT } from '../../common/http/route.ts'
import { checkSchema } from '../../common/http/schema.ts'
import { randomId } from '../../common/random.ts'
import { notFound } from '../errors.ts'
import { change, type IdentityParts } from '../identity-parts.ts'
import type { PolicyAction } from '../policy/rules.ts'
import { deleteCredential } from '../removal/credential-removal.ts'
import { openBlob, sealBlob } from '../secrets/credential-blobs.ts'
import { type CredentialRow, credentials, EC2_TYPE } from '../tables/credentials.ts'
import {
  accessHashOf,
  delegationOfBlob,
  isInDelegation,
  keepNewCredential,
  parseAccessKey,
  refuseOtherProject,
  refuseOutOfDelegation,
  targetOf,
} from './credentials.ts'
import { refuseRestricted } from './delegated-callers.ts'
import { callerOrRefuse, enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { requireUser } from './user-view.ts'
import { apiUrl, listLinks } from './views.ts'

const PATH = '/v3/users/:userId/credentials/OS-EC2'

export const ec2CredentialRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: PATH, handle: createKey },
  { method: 'GET', path: PATH, handle: listKeys },
  { method: 'GET', path: `${PATH}/:access`, handle: showKey },
  { method: 'DELETE', path: `${PATH}/:access`, handle: deleteKey },
]

const CREATE = { type: 'object', properties: { tenant_id: { type: 'string' } } }

async function createKey(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { userId = '' } = call.params
  enforce(call, 'ec2_create_credential', { target: { credential: { user_id: userId } } })
  const caller = callerOrRefuse(call)
  refuseRestricted(caller, 'application credentials')
  checkSchema(CREATE, call.body)
  await requireUser(parts.state, userId)
  const { tenant_id: projectId = '' } = call.body as { readonly tenant_id?: string }
  refuseOtherProject(caller, projectId)
  const more = delegationOfBlob(caller.subject.delegation)
  const { row } = await keepNewAccessKey(parts, { userId, projectId, more })
  return created({ credential: showKeyRow(call, row) })
}

/** Makes an access key; `more` is kept with its secret. Throws as `keepNewCredential` does. */
export async function keepNewAccessKey(
  parts: IdentityParts,
  of: {
    readonly userId: string
    readonly projectId: string
    readonly more: Readonly<Record<string, unknown>>
  },
): Promise<{ readonly row: CredentialRow; readonly secret: string }> {
  const { userId, projectId, more } = of
  const access = randomId(parts.random)
  const id = accessHashOf(access)
  const secret = randomId(parts.random)
  const blob = { access, secret, trust_id: null, ...more }
  const row: CredentialRow = {
    id,
    type: EC2_TYPE,
    userId,
    projectId,
    sealedSecret: sealBlob(parts, id, JSON.stringify(blob)),
    accessHash: id,
    extra: {},
  }
  await keepNewCredential(parts, row)
  return { row, secret }
}

async function listKeys(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { userId = '' } = call.params
  enforce(call, 'ec2_list_credentials', { user_id: userId })
  const caller = callerOrRefuse(call)
  await requireUser(state, userId)
  const rows = await credentials.by(state, 'user', userId, EC2_TYPE)
  const seen = rows.filter((row) => isInDelegation(call.context.parts, caller, row))
  return {
    status: 200,
    body: { credentials: seen.map((row) => showKeyRow(call, row)), links: listLinks(call) },
  }
}

async function showKey(call: IdentityCall): Promise<Answer> {
  const row = await enforcedKey(call, 'ec2_get_credential')
  return { status: 200, body: { credential: showKeyRow(call, row) } }
}

async function deleteKey(call: IdentityCall): Promise<Answer> {
  const { id } = await enforcedKey(call, 'ec2_delete_credential')
  await change(call.context.parts, (changing) => deleteCredential(changing, id))
  return NO_CONTENT
}

/** The access key of the user of the path, if the caller may do it. */
async function enforcedKey(call: IdentityCall, action: PolicyAction): Promise<CredentialRow> {
  const caller = callerOrRefuse(call)
  const { userId = '', access = '' } = call.params
  const row = await findAccessKey(call.context.parts, access)
  const own = row === undefined || row.userId === userId
  enforce(call, action, {
    user_id: userId,
    // Of keys that are not there, those who might have them learn it.
    target: { credential: row === undefined ? { user_id: userId } : targetOf(row) },
  })
  if (row === undefined || !own) throw notFound('credential', access)
  refuseOutOfDelegation(call.context.parts, caller, row)
  return row
}

/** The credential of an access key; undefined if there is none. */
export async function findAccessKey(
  { state }: Pick<IdentityParts, 'state'>,
  access: string,
): Promise<CredentialRow | undefined> {
  const row = await credentials.one(state, 'access', accessHashOf(access))
  return row?.type.toLowerCase() === EC2_TYPE ? row : undefined
}

function showKeyRow(call: IdentityCall, row: CredentialRow) {
  const blob = parseAccessKey(openBlob(call.context.parts, row))
  const { access, secret = null, trust_id: trustId = null } = blob
  const path = `users/${encodeURIComponent(row.userId)}/credentials/OS-EC2/${encodeURIComponent(access)}`
  return {
    user_id: row.userId,
    tenant_id: row.projectId,
    access,
    secret,
    trust_id: trustId,
    links: { self: `${apiUrl(call)}/${path}` },
  }
}
