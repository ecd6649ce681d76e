/** Who signs with an access key: an operator of a project, a user of IAM's, or a session of STS's. */
import { ServiceError } from '../../common/errors.ts'
import type { IamPrincipal } from '../../common/iam.ts'
import { parseAccessKey } from '../api/credentials.ts'
import { findAccessKey } from '../api/ec2-credentials.ts'
import { callerOf } from '../api/identity-call.ts'
import { tokenOfAccessKey } from '../api/signed-requests.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { openBlob } from '../secrets/credential-blobs.ts'
import { openSecret } from '../secrets/sealed-rows.ts'
import type { CredentialRow } from '../tables/credentials.ts'
import { type IamEntityRow, iamEntities, iamKeys } from '../tables/iam.ts'
import { projects } from '../tables/tables.ts'
import { enabledDomain } from '../tokens/token-subject.ts'
import {
  accountArn,
  accountIdOf,
  entityArn,
  isCloud,
  rootArn,
  sessionArn,
  storageAccount,
} from './arns.ts'
import { unknownKey } from './iam-error.ts'
import { openSession, type RoleSession, type Session } from './session-token.ts'
import { boundaryOf, isPolicyGone, policiesByRefs } from './shared-policies.ts'

export interface SigningKey {
  readonly accessKey: string
  readonly sessionToken?: string
}

/** Whom a key makes. */
export interface IamCaller {
  readonly secret: string
  /** The project that is their account. */
  readonly projectId: string
  readonly principal: IamPrincipal
  /** May do everything in the account. */
  readonly isRoot: boolean
  /** Of a key that Keystone keeps: a token of its user. */
  readonly token?: string
  readonly credential?: CredentialRow
}

/** Times that somebody is read, if policies of theirs are deleted meanwhile. */
const READS_MAX = 3

/** Throws InvalidClientTokenId if the key is none, InvalidToken or ExpiredToken for what is wrong with a session's. */
export async function callerOfKey(parts: IdentityParts, key: SigningKey): Promise<IamCaller> {
  for (let reads = 1; ; reads++) {
    try {
      return await readCaller(parts, key)
    } catch (error) {
      if (!isPolicyGone(error) || reads === READS_MAX) throw error
    }
  }
}

async function readCaller(parts: IdentityParts, key: SigningKey): Promise<IamCaller> {
  try {
    if (key.sessionToken !== undefined) return await callerOfSession(parts, key)
    const row = await iamKeys.get(parts.state, key.accessKey)
    if (row === undefined) return await operatorOf(parts, key.accessKey)
    if (!row.active) throw unknownKey()
    const user = await iamEntities.one(parts.state, 'id', row.userId)
    if (user === undefined) throw unknownKey()
    await requireAccount(parts, user.projectId)
    return {
      secret: openSecret(parts, iamKeys, row),
      projectId: user.projectId,
      principal: await userPrincipal(parts, user),
      isRoot: false,
    }
  } catch (error) {
    // A project or user that is disabled, or gone: nothing that the one who asks for them has done wrong.
    if (error instanceof ServiceError && error.status === 401) throw unknownKey()
    throw error
  }
}

async function callerOfSession(parts: IdentityParts, key: SigningKey): Promise<IamCaller> {
  const session = openSession(parts, key.accessKey, key.sessionToken!)
  const { secret, expiresMs } = session
  if (session.kind === 'key') {
    const parent = await callerOfKey(parts, { accessKey: session.parent })
    const principal = { ...parent.principal, expiresAtMs: expiresMs, ...scopeOf(session) }
    return { ...parent, secret, principal }
  }
  const role = await iamEntities.one(parts.state, 'id', session.roleId)
  if (role === undefined) throw unknownKey()
  await requireAccount(parts, role.projectId)
  const principal = { ...(await sessionPrincipal(parts, role, session)), ...scopeOf(session) }
  return { secret, projectId: role.projectId, principal, isRoot: false }
}

function scopeOf({ only }: Session): Pick<IamPrincipal, 'only'> {
  return only === undefined ? {} : { only }
}

/** Somebody of Keystone's, with the powers that the roles give; what the cloud's policies say of the project counts, too. */
async function operatorOf(parts: IdentityParts, accessKey: string): Promise<IamCaller> {
  const row = await findAccessKey(parts, accessKey)
  if (row === undefined || row.projectId === null) throw unknownKey()
  const blob = parseAccessKey(openBlob(parts, row))
  if (typeof blob.secret !== 'string') throw unknownKey()
  const { token, subject } = await tokenOfAccessKey(parts, row, blob)
  const { projectId } = row
  const account = storageAccount(parts, projectId)
  const arn = rootArn(parts, projectId)
  const allows = (action: 'manage_iam_account' | 'act_for_iam_account') =>
    parts.policy.allows(action, callerOf(subject))
  const isRoot = subject.delegation === undefined && allows('manage_iam_account')
  return {
    secret: blob.secret,
    token,
    credential: row,
    projectId,
    isRoot,
    principal: {
      kind: 'account',
      account,
      arn,
      // Whom a role trusts by these takes it on without a policy of his own.
      arns: [
        ...(isRoot ? [arn] : []),
        ...(allows('act_for_iam_account') ? [accountArn(parts, projectId)] : []),
      ],
      userId: account,
      policies: await cloudPoliciesOf(parts, projectId),
      isCloud: true,
      tags: [],
    },
  }
}

/** What the cloud's account says of a whole project. */
async function cloudPoliciesOf(
  parts: IdentityParts,
  projectId: string,
): Promise<readonly string[]> {
  const { cloudProjectId } = parts.settings
  if (cloudProjectId === null) return []
  const nameKey = storageAccount(parts, projectId).toLowerCase()
  const row = await iamEntities.get(parts.state, cloudProjectId, 'account', nameKey)
  return row === undefined ? [] : policiesOf(parts, [row])
}

async function userPrincipal(parts: IdentityParts, user: IamEntityRow): Promise<IamPrincipal> {
  const arn = entityArn(parts, user)
  const found = await Promise.all(user.groups.map((id) => iamEntities.one(parts.state, 'id', id)))
  const groups = found.filter((group) => group !== undefined)
  return {
    kind: 'user',
    account: storageAccount(parts, user.projectId),
    arn,
    arns: [arn],
    userId: user.id,
    userName: user.name,
    policies: await policiesOf(parts, [user, ...groups]),
    ...(await boundsOf(parts, user)),
    isCloud: isCloud(parts, user.projectId),
    tags: user.tags,
  }
}

/** Whom a session of the role is, at the time it is used: the role's policies are those of now. */
async function sessionPrincipal(
  parts: Pick<IdentityParts, 'settings' | 'state'>,
  role: IamEntityRow,
  session: RoleSession,
): Promise<IamPrincipal> {
  const sessionPolicies = await narrowedTo(parts, session)
  const arn = sessionArn(parts, role, session.name)
  return {
    kind: 'session',
    account: storageAccount(parts, role.projectId),
    arn,
    // The session as older clients of RGW name it, too.
    arns: [arn, arn.replace('arn:aws:sts:', 'arn:aws:iam:'), entityArn(parts, role)],
    userId: `${role.id}:${session.name}`,
    policies: await policiesOf(parts, [role]),
    ...(await boundsOf(parts, role)),
    ...(sessionPolicies !== null && { sessionPolicies }),
    isCloud: isCloud(parts, role.projectId),
    tags: [
      ...session.tags,
      ...role.tags.filter(({ key }) => !session.tags.some((tag) => tag.key === key)),
    ],
    ...(session.federated !== undefined && { federated: session.federated }),
    expiresAtMs: session.expiresMs,
  }
}

/** The texts of all policies of users, groups or roles. Throws PolicyGone. */
async function policiesOf(
  parts: Pick<IdentityParts, 'settings' | 'state'>,
  rows: readonly IamEntityRow[],
): Promise<readonly string[]> {
  const refs = new Set(rows.flatMap(({ attached }) => attached))
  const shared = await policiesByRefs(parts, [...refs])
  return [...rows.flatMap(({ inline }) => Object.values(inline)), ...shared.map(({ text }) => text)]
}

async function boundsOf(
  parts: Pick<IdentityParts, 'settings' | 'state'>,
  row: IamEntityRow,
): Promise<Pick<IamPrincipal, 'boundary'>> {
  const policy = await boundaryOf(parts, row)
  return policy === undefined ? {} : { boundary: policy.text }
}

/** The texts of all that the session was narrowed to; null if it was not. Once one of them is deleted the session may nothing. */
async function narrowedTo(
  parts: Pick<IdentityParts, 'settings' | 'state'>,
  { policies, policyRefs = [] }: RoleSession,
): Promise<readonly string[] | null> {
  if (policies.length + policyRefs.length === 0) return null
  try {
    const shared = await policiesByRefs(parts, policyRefs)
    return [...policies, ...shared.map(({ text }) => text)]
  } catch (error) {
    if (isPolicyGone(error)) return []
    throw error
  }
}

/** How policies name whoever it is. */
export function namesOf(
  parts: Pick<IdentityParts, 'settings'>,
  caller: Pick<IamCaller, 'principal' | 'projectId'>,
) {
  const { principal, projectId } = caller
  return {
    arns: principal.arns,
    accounts: [accountIdOf(parts, projectId)].filter((id) => id !== ''),
    canonicalIds: [principal.account],
    federated: principal.federated === undefined ? [] : [principal.federated],
  }
}

/** Throws 401 if the project or its domain is not there or disabled. */
async function requireAccount(
  { state }: Pick<IdentityParts, 'state'>,
  projectId: string,
): Promise<void> {
  const project = await projects.get(state, projectId)
  if (project === undefined || !project.enabled) throw unknownKey()
  await enabledDomain(state, project.domainId ?? project.id)
}
