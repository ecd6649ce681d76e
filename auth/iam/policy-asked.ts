/** The policy that a call names by its ARN, and whether the caller may do it to that. */

import { tagKeys, tagValues } from '../../common/iam.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import type { IamPolicyRow, IamTag } from '../tables/iam.ts'
import { authorise, type IamCall, resourceTags } from './iam-call.ts'
import { accessDenied, noSuchEntity } from './iam-error.ts'
import { ARN, required } from './iam-params.ts'
import { findPolicy, type SharedPolicy } from './shared-policies.ts'

interface PolicyAsking {
  readonly reader?: StateReader
  /** Tags that the call gives to it. */
  readonly given?: readonly IamTag[]
}

/** Throws NoSuchEntity, after AccessDenied: who may not ask learns nothing. Of other accounts' nobody does. */
export async function policyAsked(
  call: IamCall,
  { reader = call.parts.state, given = [] }: PolicyAsking = {},
): Promise<SharedPolicy> {
  const { parts, params, caller } = call
  const arn = required(params, 'PolicyArn', ARN)
  const policy = await findPolicy(parts, { projectId: caller.projectId, arn }, reader)
  authorisePolicy(call, arn, { tags: policy?.own?.tags ?? [], given })
  if (policy === undefined) throw noSuchEntity(`Policy ${arn}`)
  return policy
}

/** The same of one that can be changed: AWS's own cannot. */
export async function ownPolicyAsked(
  call: IamCall,
  reader: StateReader,
  given: readonly IamTag[] = [],
): Promise<IamPolicyRow> {
  const { own, arn } = await policyAsked(call, { reader, given })
  if (own === null) throw accessDenied(call.caller.principal.arn, `iam:${call.action}`, arn)
  return own
}

/** Whether the caller may do it to the policy, which is in their own account. */
export function authorisePolicy(
  call: IamCall,
  arn: string,
  {
    tags = [],
    given = [],
  }: { readonly tags?: readonly IamTag[]; readonly given?: readonly IamTag[] },
): void {
  authorise(call, {
    projectId: call.caller.projectId,
    arn,
    keys: (name) => {
      const [, key] = /^aws:requesttag\/(.+)$/.exec(name) ?? []
      if (key !== undefined) return tagValues(given, key)
      return name === 'aws:tagkeys' ? tagKeys(given) : resourceTags(tags, name)
    },
  })
}
