/**
 * Shared policies, attached to users, groups and roles.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_AttachUserPolicy.html and its neighbours.
 */
import type { IamResult } from '../../common/iam.ts'
import type { IamEntityRow } from '../tables/iam.ts'
import { KINDS, pageOfSorted } from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { limitExceeded, noSuchEntity, validationError } from './iam-error.ts'
import { ARN, optional, PATH_PREFIX, required } from './iam-params.ts'
import { policyAsked } from './policy-asked.ts'
import {
  changeHolder,
  HOLDER_TITLES,
  type HolderKind,
  holderAsked,
  holdersOf,
  isUsedAs,
  usageAsked,
  usesBy,
} from './policy-holders.ts'
import { findPolicy, knownPolicy, policiesByRefs } from './shared-policies.ts'

const ATTACHED_MAX = 10

/** `AttachUserPolicy`, `AttachGroupPolicy`, `AttachRolePolicy` and so on. */
export const ATTACHED_POLICY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  ...actionsOf('user'),
  ...actionsOf('group'),
  ...actionsOf('role'),
  ListEntitiesForPolicy: listEntitiesForPolicy,
}

function actionsOf(kind: HolderKind): Readonly<Record<string, IamHandler>> {
  const title = HOLDER_TITLES[kind]
  return {
    [`Attach${title}Policy`]: (call) => attach(call, kind),
    [`Detach${title}Policy`]: (call) => detach(call, kind),
    [`ListAttached${title}Policies`]: (call) => listAttached(call, kind),
  }
}

function attach(call: IamCall, kind: HolderKind): Promise<Record<string, never>> {
  const { parts, params } = call
  const arn = required(params, 'PolicyArn', ARN)
  return changeHolder(call, kind, async (row, tx) => {
    const { ref } = await knownPolicy(parts, { projectId: row.projectId, arn }, tx)
    const attached = [...new Set([...row.attached, ref])]
    if (attached.length > ATTACHED_MAX)
      throw limitExceeded(`attached policies of a ${kind}: ${ATTACHED_MAX}`)
    return { ...row, attached }
  })
}

function detach(call: IamCall, kind: HolderKind): Promise<Record<string, never>> {
  const { parts, params } = call
  const arn = required(params, 'PolicyArn', ARN)
  return changeHolder(call, kind, async (row, tx) => {
    const ref = (await findPolicy(parts, { projectId: row.projectId, arn }, tx))?.ref
    if (ref === undefined || !row.attached.includes(ref)) throw noSuchEntity(`Policy ${arn}`)
    return { ...row, attached: row.attached.filter((one) => one !== ref) }
  })
}

async function listAttached(call: IamCall, kind: HolderKind): Promise<IamResult> {
  const prefix = optional(call.params, 'PathPrefix', PATH_PREFIX) ?? '/'
  const { attached } = await holderAsked(call, kind)
  const policies = await policiesByRefs(call.parts, attached)
  const found = policies.filter(({ path }) => path.startsWith(prefix))
  return pageOfSorted(call, found, {
    element: 'AttachedPolicies',
    show: ({ name, arn }) => ({ PolicyName: name, PolicyArn: arn }),
    keyOf: ({ arn }) => arn,
  })
}

/** What `EntityFilter` may say: policies can hang on nothing but these. */
const FILTERS: Readonly<Record<string, HolderKind | null>> = {
  User: 'user',
  Group: 'group',
  Role: 'role',
  LocalManagedPolicy: null,
  AWSManagedPolicy: null,
}

/** https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListEntitiesForPolicy.html */
async function listEntitiesForPolicy(call: IamCall): Promise<IamResult> {
  const { parts, params, caller } = call
  const prefix = optional(params, 'PathPrefix', PATH_PREFIX) ?? '/'
  const filter = params.EntityFilter
  if (filter !== undefined && !Object.hasOwn(FILTERS, filter))
    throw validationError(`Value at 'EntityFilter' must be one of ${Object.keys(FILTERS)}.`)
  const usage = usageAsked(params)
  const { ref } = await policyAsked(call)
  const holders = await holdersOf(parts.state, { projectId: caller.projectId, ref })
  const found = holders.filter(
    (row) =>
      row.path.startsWith(prefix) &&
      (filter === undefined || holderKind(row) === FILTERS[filter]) &&
      isUsedAs(usesBy([row], ref), usage),
  )
  const { members, ...page } = pageOfSorted(call, found, {
    element: 'members',
    show: (row) => ({ [holderKind(row)]: briefly(row) }),
    keyOf: ({ kind, nameKey }) => `${kind}/${nameKey}`,
  })
  const of = (kind: HolderKind) =>
    (members as readonly IamResult[]).flatMap((member) => member[kind] ?? [])
  return { PolicyUsers: of('user'), PolicyGroups: of('group'), PolicyRoles: of('role'), ...page }
}

/** Whole projects are named as users are. */
function holderKind({ kind }: IamEntityRow): HolderKind {
  return kind === 'account' ? 'user' : kind
}

function briefly(row: IamEntityRow): IamResult {
  const kind = holderKind(row)
  return { [KINDS[kind].param]: row.name, [`${HOLDER_TITLES[kind]}Id`]: row.id }
}
