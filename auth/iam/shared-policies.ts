/**
 * Policies that users, groups and roles share: AWS's, and the account's own. Those who have one keep its ref (an ARN of AWS's,
 * an id of an own one), and what it says is looked up when it is used, in one read: the default version of that moment.
 * Source: docs.aws.amazon.com/IAM/latest/UserGuide, "Managed policies and inline policies".
 */
import { ServiceError } from '../../common/errors.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { type IamEntityRow, type IamPolicyRow, iamPolicies, isOwnPolicy } from '../tables/iam.ts'
import { parseArn, policyArn, projectOfAccountId } from './arns.ts'
import { noSuchEntity } from './iam-error.ts'
import { MANAGED_POLICIES, policyName } from './managed-policies.ts'

/** One that can be attached. */
export interface SharedPolicy {
  /** What its holders keep of it. */
  readonly ref: string
  readonly arn: string
  readonly name: string
  readonly path: string
  /** What its default version says: JSON. */
  readonly text: string
  /** Null: AWS keeps it. */
  readonly own: IamPolicyRow | null
}

type Parts = Pick<IdentityParts, 'state' | 'settings'>

/** All that AWS keeps. */
export const AWS_POLICIES: readonly SharedPolicy[] = [...MANAGED_POLICIES].map(([arn, text]) => ({
  ref: arn,
  arn,
  name: policyName(arn),
  path: '/',
  text,
  own: null,
}))

const AWS_BY_ARN: ReadonlyMap<string, SharedPolicy> = new Map(
  AWS_POLICIES.map((policy) => [policy.arn, policy]),
)

export function ownPolicy(parts: Pick<Parts, 'settings'>, row: IamPolicyRow): SharedPolicy {
  const { id, name, path, text } = row
  return { ref: id, arn: policyArn(parts, row), name, path, text, own: row }
}

/**
 * The one with the ARN, as it can be used in the project; undefined if there is none. An ARN of another account's is none, and
 * neither is one that differs from the policy's in case or path: what policies say of an ARN holds for the policy.
 */
export async function findPolicy(
  parts: Parts,
  { projectId, arn }: { readonly projectId: string; readonly arn: string },
  reader: StateReader = parts.state,
): Promise<SharedPolicy | undefined> {
  const managed = AWS_BY_ARN.get(arn)
  if (managed !== undefined) return managed
  const parsed = parseArn(arn)
  if (parsed?.type !== 'policy') return undefined
  if (projectOfAccountId(parts, parsed.accountId) !== projectId) return undefined
  const row = await iamPolicies.get(reader, projectId, policyName(arn).toLowerCase())
  const policy = row && ownPolicy(parts, row)
  return policy?.arn === arn ? policy : undefined
}

/** The same; throws NoSuchEntity. */
export async function knownPolicy(
  parts: Parts,
  at: { readonly projectId: string; readonly arn: string },
  reader: StateReader = parts.state,
): Promise<SharedPolicy> {
  const policy = await findPolicy(parts, at, reader)
  if (policy === undefined) throw noSuchEntity(`Policy ${at.arn}`)
  return policy
}

/**
 * Those that somebody keeps. Throws PolicyGone (503) for an own one that is not there: it was taken away and deleted after its
 * holder was read, who is to be read again. It could have denied something, so nothing goes on without it.
 */
export async function policiesByRefs(
  parts: Parts,
  refs: readonly string[],
  reader: StateReader = parts.state,
): Promise<readonly SharedPolicy[]> {
  const found = await Promise.all(
    refs.map(async (ref) => {
      if (!isOwnPolicy(ref)) return AWS_BY_ARN.get(ref)
      const row = await iamPolicies.one(reader, 'id', ref)
      if (row === undefined) throw policyGone()
      return ownPolicy(parts, row)
    }),
  )
  return found.filter((policy) => policy !== undefined)
}

/** What bounds it, if anything does. */
export async function boundaryOf(
  parts: Parts,
  { boundary }: Pick<IamEntityRow, 'boundary'>,
  reader: StateReader = parts.state,
): Promise<SharedPolicy | undefined> {
  if (boundary === undefined) return undefined
  const [policy] = await policiesByRefs(parts, [boundary], reader)
  if (policy === undefined) throw policyGone()
  return policy
}

export function isPolicyGone(error: unknown): boolean {
  return error instanceof ServiceError && error.code === GONE
}

const GONE = 'PolicyGone'

function policyGone(): ServiceError {
  const message = 'a policy was deleted while it was looked for'
  return new ServiceError(GONE, message, { status: 503, retryAfterSeconds: 1 })
}
