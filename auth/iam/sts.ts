/** AWS's Security Token Service: who somebody is, and credentials for a time. */
import { judgePolicy, type PolicyPrincipal } from '../../common/access-policy/judge-policy.ts'
import { parsePolicy } from '../../common/access-policy/policy-document.ts'
import type { ConditionKeys } from '../../common/access-policy/policy-variables.ts'
import { ServiceError } from '../../common/errors.ts'
import { type IamResult, principalKeys, tagKeys, tagValues } from '../../common/iam.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { type IamEntityRow, type IamTag, iamEntities } from '../tables/iam.ts'
import { accountIdOf, entityArn, parseArn, projectOfAccountId, sessionArn } from './arns.ts'
import { type IamCall, type IamHandler, judgeOwn, timeKeys, valueOrNone } from './iam-call.ts'
import { type IamCaller, namesOf } from './iam-caller.ts'
import { accessDenied, noSuchEntity, validationError } from './iam-error.ts'
import {
  ANY_TEXT,
  ARN,
  optional,
  optionalNumber,
  required,
  SESSION_NAME,
  tagsOf,
} from './iam-params.ts'
import { checkPolicy, SESSION_POLICY, TRUST_POLICY } from './policy-forms.ts'
import { type RoleSession, startSession } from './session-token.ts'
import { knownPolicy } from './shared-policies.ts'

const KEY_SECONDS = { min: 900, max: 129_600 }
const ROLE_SECONDS_MIN = 900
const DEFAULT_SECONDS = 3600

export const STS_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async GetCallerIdentity({ parts, caller }) {
    const { principal, projectId } = caller
    const Account = principal.kind === 'account' ? principal.account : accountIdOf(parts, projectId)
    return { UserId: principal.userId, Account, Arn: principal.arn }
  },
  async GetSessionToken(call) {
    const { parts, caller, params } = call
    const { principal } = caller
    if (principal.kind === 'session' || principal.expiresAtMs !== undefined) {
      throw new ServiceError(
        'AccessDenied',
        'Cannot call GetSessionToken with session credentials',
        {
          status: 403,
        },
      )
    }
    const target = { projectId: caller.projectId, arn: '*' }
    const { isDenied } = judgeOwn(parts, caller, { action: 'sts:GetSessionToken', target })
    if (isDenied) throw accessDenied(principal.arn, 'sts:GetSessionToken', '*')
    const seconds = optionalNumber(params, 'DurationSeconds', KEY_SECONDS) ?? 43_200
    const expiresMs = parts.clock.nowMs() + seconds * 1000
    const parent = call.accessKey
    return { Credentials: { ...startSession(parts, { kind: 'key', parent, expiresMs }) } }
  },
  async AssumeRole(call) {
    const { parts, caller } = call
    const role = await roleAsked(call)
    const tags = tagsOf(call.params)
    const own = principalKeys(caller.principal)
    const extra: ConditionKeys = (name) =>
      name === 'sts:externalid' ? valueOrNone(call.params.ExternalId) : own(name)
    const names = namesOf(parts, caller)
    const action = 'sts:AssumeRole'
    const target = { projectId: role.projectId, arn: entityArn(parts, role) }
    const { said, isDenied, isWithin } = judgeOwn(parts, caller, { action, target })
    // Who is trusted by name may; who is of an account that is trusted needs a policy of its own, too.
    const asked = { role, tags, keys: extra, action }
    const person = isWithin
      ? { ...names, accounts: [], canonicalIds: [] }
      : pastBounds(caller, role)
    const byName = person !== null && trusts(parts, { ...asked, principal: person })
    const isTrusted =
      byName || ((said || caller.isRoot) && trusts(parts, { ...asked, principal: names }))
    if (isDenied || !isTrusted) throw accessDenied(caller.principal.arn, action, target.arn)
    return assume(call, { role, tags, ...(await narrowing(call, role)) })
  },
}

/**
 * By which names a trust gives what bounds do not allow: in one's own account a user's, and the session's own, which is not the
 * role's; null in another account. Source: docs.aws.amazon.com/IAM/latest/UserGuide, "Permissions boundaries for IAM entities".
 */
function pastBounds(
  { principal, projectId }: IamCaller,
  role: IamEntityRow,
): PolicyPrincipal | null {
  if (role.projectId !== projectId) return null
  const { kind } = principal
  const arns = principal.arns.filter((arn) => kind === 'user' || arn.includes(':assumed-role/'))
  return { arns, accounts: [], canonicalIds: [], federated: [] }
}

/** The role of a call that is signed by nobody: the token says who it is. */
export interface WebIdentity {
  readonly provider: string
  readonly keys: ConditionKeys
  readonly subject: string
  readonly audience: string
  readonly tags: readonly IamTag[]
}

/** Credentials of a role for whom its trust says so, by what a provider says of them. */
export async function assumeByWebIdentity(
  call: Pick<IamCall, 'parts' | 'params'>,
  role: IamEntityRow,
  identity: WebIdentity,
): Promise<IamResult> {
  const { parts } = call
  const { provider, keys, tags, subject, audience } = identity
  const principal = { arns: [], accounts: [], canonicalIds: [], federated: [provider] }
  const action = 'sts:AssumeRoleWithWebIdentity'
  if (!trusts(parts, { role, tags, keys, action, principal }))
    throw accessDenied(subject, action, entityArn(parts, role))
  const narrowed = await narrowing(call, role)
  const assumed = assume(call, { role, tags, federated: provider, ...narrowed })
  return {
    ...assumed,
    SubjectFromWebIdentityToken: subject,
    Audience: audience,
    Provider: provider,
  }
}

/** The role that `RoleArn` names. Throws NoSuchEntity. */
export async function roleAsked({
  parts,
  params,
}: Pick<IamCall, 'parts' | 'params'>): Promise<IamEntityRow> {
  const arn = required(params, 'RoleArn', ARN)
  const parsed = parseArn(arn)
  const projectId = parsed === null ? null : projectOfAccountId(parts, parsed.accountId)
  if (parsed?.type !== 'role' || projectId === null) throw noSuchEntity(`Role ${arn}`)
  const name = parsed.name.slice(parsed.name.lastIndexOf('/') + 1).toLowerCase()
  const role = await iamEntities.get(parts.state, projectId, 'role', name)
  if (role === undefined || entityArn(parts, role) !== arn) throw noSuchEntity(`Role ${arn}`)
  return role
}

/** Whether the role's trust lets the principal take it on, with the tags that it brings. */
function trusts(
  parts: Pick<IdentityParts, 'clock'>,
  asked: {
    readonly role: IamEntityRow
    readonly principal: PolicyPrincipal
    readonly tags: readonly IamTag[]
    readonly keys: ConditionKeys
    readonly action: string
  },
): boolean {
  const { role, principal, tags, action } = asked
  const nowMs = parts.clock.nowMs()
  const trust = parsePolicy(role.role!.trust, TRUST_POLICY)
  const keys: ConditionKeys = (name) => {
    const [, kind, key = ''] =
      /^(aws:requesttag|iam:resourcetag|aws:resourcetag)\/(.+)$/.exec(name) ?? []
    if (kind === 'aws:requesttag') return tagValues(tags, key)
    if (kind !== undefined) return tagValues(role.tags, key)
    if (name === 'aws:tagkeys') return tagKeys(tags)
    return asked.keys(name) ?? timeKeys(name, nowMs)
  }
  const actions = tags.length === 0 ? [action] : [action, 'sts:TagSession']
  return actions.every(
    (one) => judgePolicy(trust, { action: one, resource: '', principal, keys }) === 'allow',
  )
}

function assume(
  { parts, params }: Pick<IamCall, 'parts' | 'params'>,
  {
    role,
    tags,
    federated,
    ...narrowed
  }: {
    readonly role: IamEntityRow
    readonly tags: readonly IamTag[]
    readonly federated?: string
  } & Narrowing,
): IamResult {
  const max = role.role!.maxSessionSeconds
  const name = required(params, 'RoleSessionName', SESSION_NAME)
  const bounds = { min: ROLE_SECONDS_MIN, max }
  const seconds = optionalNumber(params, 'DurationSeconds', bounds) ?? DEFAULT_SECONDS
  const Credentials = startSession(parts, {
    kind: 'role',
    roleId: role.id,
    name,
    ...narrowed,
    tags,
    ...(federated !== undefined && { federated }),
    expiresMs: parts.clock.nowMs() + seconds * 1000,
  })
  return {
    Credentials: { ...Credentials },
    AssumedRoleUser: { AssumedRoleId: `${role.id}:${name}`, Arn: sessionArn(parts, role, name) },
    PackedPolicySize: 0,
  }
}

const NARROWING = /^(?:Policy|PolicyArns\.member\.\d+\.arn)$/

type Narrowing = Required<Pick<RoleSession, 'policies' | 'policyRefs'>>

/** What the session is narrowed to: a policy that comes along, and shared ones of the role's account. */
async function narrowing(
  { parts, params }: Pick<IamCall, 'parts' | 'params'>,
  { projectId }: IamEntityRow,
): Promise<Narrowing> {
  // Overlooking one would leave the session wider than was asked for.
  const unknown = Object.keys(params).find((name) => /^policy/i.test(name) && !NARROWING.test(name))
  if (unknown !== undefined) throw validationError(`${unknown} is no parameter of a session.`)
  const policy = optional(params, 'Policy', { ...ANY_TEXT, pattern: /^.{1,4096}$/s })
  const arns = Object.keys(params)
    .filter((name) => /^PolicyArns\.member\.\d+\.arn$/.test(name))
    .map((name) => required(params, name, ARN))
  if (arns.length > 10) throw validationError("Value at 'PolicyArns' must be up to 10 policies.")
  const shared = await Promise.all(arns.map((arn) => knownPolicy(parts, { projectId, arn })))
  if (policy !== undefined) checkPolicy(policy, SESSION_POLICY)
  return {
    policies: policy === undefined ? [] : [policy],
    policyRefs: shared.map(({ ref }) => ref),
  }
}
