/**
 * Policies of the account's own, which its users, groups and roles may share.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html and its neighbours.
 */
import type { IamResult } from '../../common/iam.ts'
import { deletePolicyRows } from '../removal/iam-removal.ts'
import { type IamPolicyRow, type IamTag, iamPolicies, iamPolicyVersions } from '../tables/iam.ts'
import { policyArn } from './arns.ts'
import { pageOfSorted, showTags, tagList } from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import {
  deleteConflict,
  entityExists,
  invalidInput,
  limitExceeded,
  validationError,
} from './iam-error.ts'
import { entityId } from './iam-ids.ts'
import {
  DESCRIPTION,
  DOCUMENT,
  list,
  optional,
  optionalFlag,
  PATH,
  PATH_PREFIX,
  POLICY_NAME,
  required,
  tagsOf,
} from './iam-params.ts'
import { authorisePolicy, ownPolicyAsked, policyAsked } from './policy-asked.ts'
import { checkedShared } from './policy-forms.ts'
import {
  allUses,
  holdersOf,
  isUsedAs,
  type PolicyUses,
  usageAsked,
  usesBy,
} from './policy-holders.ts'
import { AWS_POLICIES, ownPolicy, type SharedPolicy } from './shared-policies.ts'
import { withTags } from './users.ts'

/** Of an account, as AWS has it. */
export const POLICIES_MAX = 1500

const NO_USES: PolicyUses = { attachments: 0, boundaries: 0 }

export const CUSTOMER_POLICY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  CreatePolicy: createPolicy,
  async GetPolicy(call) {
    const policy = await policyAsked(call)
    const { ref, own } = policy
    const at = { projectId: call.caller.projectId, ref }
    const uses = usesBy(await holdersOf(call.parts.state, at), ref)
    const description = own === null ? '' : own.description
    return {
      Policy: {
        ...showPolicy(policy, uses),
        ...(description !== '' && { Description: description }),
        ...showTags({ tags: own?.tags ?? [] }),
      },
    }
  },
  ListPolicies: listPolicies,
  async DeletePolicy(call) {
    await call.parts.state.transaction(async (tx) => {
      const row = await ownPolicyAsked(call, tx)
      const { id, projectId } = row
      const holders = await holdersOf(tx, { projectId, ref: id })
      if (holders.length > 0) throw deleteConflict('must detach the policy from all entities first')
      const versions = await iamPolicyVersions.list(tx, { prefix: [id] })
      if (versions.length > 1) throw deleteConflict('must delete all other versions first')
      await deletePolicyRows(tx, row)
    })
    return {}
  },
  async TagPolicy(call) {
    const given = givenTags(call)
    return changeTags(call, (tags) => withTags(tags, given), given)
  },
  async UntagPolicy(call) {
    const keys = list(call.params, 'TagKeys')
    return changeTags(call, (tags) => tags.filter(({ key }) => !keys.includes(key)))
  },
  async ListPolicyTags(call) {
    const { own } = await policyAsked(call)
    return pageOfSorted(call, own?.tags ?? [], {
      element: 'Tags',
      show: (tag) => tagList({ tags: [tag] })[0]!,
      keyOf: ({ key }) => key,
    })
  },
}

async function createPolicy(call: IamCall): Promise<IamResult> {
  const { parts, params, caller } = call
  const { projectId } = caller
  const name = required(params, 'PolicyName', POLICY_NAME)
  const path = optional(params, 'Path', PATH) ?? '/'
  const tags = givenTags(call)
  authorisePolicy(call, policyArn(parts, { projectId, path, name }), { given: tags })
  const document = required(params, 'PolicyDocument', DOCUMENT)
  const nowMs = parts.clock.nowMs()
  const row: IamPolicyRow = {
    projectId,
    nameKey: name.toLowerCase(),
    name,
    path,
    id: entityId(parts.random, 'policy'),
    description: optional(params, 'Description', DESCRIPTION) ?? '',
    tags,
    createdMs: nowMs,
    updatedMs: nowMs,
    defaultVersion: 1,
    lastVersion: 1,
    text: checkedShared(document),
  }
  await parts.state.transaction(async (tx) => {
    const there = await iamPolicies.get(tx, projectId, row.nameKey)
    if (there !== undefined) throw entityExists(`Policy with name ${name}`)
    const others = await iamPolicies.list(tx, { prefix: [projectId], limit: POLICIES_MAX })
    if (others.length >= POLICIES_MAX)
      throw limitExceeded(`policies of an account: ${POLICIES_MAX}`)
    await iamPolicyVersions.put(tx, { policyId: row.id, number: 1, document, createdMs: nowMs })
    await iamPolicies.put(tx, row)
  })
  return { Policy: { ...showPolicy(ownPolicy(parts, row), NO_USES), ...showTags(row) } }
}

const SCOPES = ['All', 'AWS', 'Local']

async function listPolicies(call: IamCall): Promise<IamResult> {
  const { parts, params, caller } = call
  const { projectId } = caller
  const { Scope: scope = 'All' } = params
  if (!SCOPES.includes(scope)) throw validationError(`Value at 'Scope' must be one of ${SCOPES}.`)
  const prefix = optional(params, 'PathPrefix', PATH_PREFIX) ?? '/'
  const onlyAttached = optionalFlag(params, 'OnlyAttached')
  const usage = usageAsked(params)
  authorisePolicy(call, policyArn(parts, { projectId, path: prefix, name: '' }), {})
  const usesOf = await allUses(parts.state, projectId)
  const known = [
    ...(scope === 'AWS' ? [] : await ownPolicies(call)),
    ...(scope === 'Local' ? [] : AWS_POLICIES),
  ]
  const found = known.filter(
    ({ ref, path }) =>
      path.startsWith(prefix) &&
      (!onlyAttached || usesOf(ref).attachments > 0) &&
      (usage === undefined || isUsedAs(usesOf(ref), usage)),
  )
  return pageOfSorted(call, found, {
    element: 'Policies',
    show: (policy) => showPolicy(policy, usesOf(policy.ref)),
    keyOf: ({ arn }) => arn,
  })
}

/** All of the account, without what they say: that would be much. */
async function ownPolicies({ parts, caller }: IamCall): Promise<readonly SharedPolicy[]> {
  const found: SharedPolicy[] = []
  const prefix = [caller.projectId]
  for await (const page of iamPolicies.pages(parts.state, { prefix })) {
    found.push(...page.map((row) => ownPolicy(parts, { ...row, text: '' })))
  }
  return found
}

async function changeTags(
  call: IamCall,
  changed: (tags: readonly IamTag[]) => readonly IamTag[],
  given: readonly IamTag[] = [],
): Promise<Record<string, never>> {
  await call.parts.state.transaction(async (tx) => {
    const row = await ownPolicyAsked(call, tx, given)
    await iamPolicies.put(tx, { ...row, tags: changed(row.tags) })
  })
  return {}
}

/** Each key once, in any case. */
function givenTags({ params }: IamCall): readonly IamTag[] {
  const tags = tagsOf(params)
  const keys = new Set(tags.map(({ key }) => key.toLowerCase()))
  if (keys.size < tags.length)
    throw invalidInput('Duplicate tag keys found. Tag keys are case insensitive.')
  return tags
}

/** As AWS shows it where it lists several: of its own it says less. */
function showPolicy(policy: SharedPolicy, { attachments, boundaries }: PolicyUses): IamResult {
  const { name, arn, path, own } = policy
  return {
    PolicyName: name,
    ...(own !== null && { PolicyId: own.id }),
    Arn: arn,
    Path: path,
    DefaultVersionId: `v${own?.defaultVersion ?? 1}`,
    AttachmentCount: attachments,
    PermissionsBoundaryUsageCount: boundaries,
    IsAttachable: true,
    ...(own !== null && {
      CreateDate: new Date(own.createdMs).toISOString(),
      UpdateDate: new Date(own.updatedMs).toISOString(),
    }),
  }
}
