/**
 * Versions of policies: what the default one says holds for all who have the policy.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicyVersion.html and its neighbours.
 */
import type { IamResult } from '../../common/iam.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import {
  type IamPolicyRow,
  type IamPolicyVersionRow,
  iamPolicies,
  iamPolicyVersions,
  policyVersionKey,
} from '../tables/iam.ts'
import { pageOfSorted } from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { deleteConflict, limitExceeded, noSuchEntity } from './iam-error.ts'
import { DOCUMENT, optionalFlag, required, VERSION_ID } from './iam-params.ts'
import { ownPolicyAsked, policyAsked } from './policy-asked.ts'
import { checkedShared } from './policy-forms.ts'
import type { SharedPolicy } from './shared-policies.ts'

/** Of a policy; AWS has as many. */
export const VERSIONS_MAX = 5

export const POLICY_VERSION_ACTIONS: Readonly<Record<string, IamHandler>> = {
  CreatePolicyVersion: createVersion,
  async GetPolicyVersion(call) {
    const policy = await policyAsked(call)
    const version = await versionAsked(call, policy)
    const Document = encodeURIComponent(version.document)
    return { PolicyVersion: { Document, ...showVersion(policy.own, version) } }
  },
  async ListPolicyVersions(call) {
    const policy = await policyAsked(call)
    return pageOfSorted(call, await versionsOf(call.parts.state, policy), {
      element: 'Versions',
      show: (version) => showVersion(policy.own, version),
      // The newest first, as in AWS.
      keyOf: ({ number }) => String(NUMBER_MAX - number).padStart(10, '0'),
    })
  },
  async SetDefaultPolicyVersion(call) {
    await call.parts.state.transaction(async (tx) => {
      const row = await ownPolicyAsked(call, tx)
      const { number, document } = await ownVersion(call, row, tx)
      await iamPolicies.put(tx, { ...row, defaultVersion: number, text: checkedShared(document) })
    })
    return {}
  },
  async DeletePolicyVersion(call) {
    await call.parts.state.transaction(async (tx) => {
      const row = await ownPolicyAsked(call, tx)
      const { number } = await ownVersion(call, row, tx)
      if (number === row.defaultVersion)
        throw deleteConflict('the default version of a policy goes with the policy')
      await iamPolicyVersions.delete(tx, ...policyVersionKey(row.id, number))
    })
    return {}
  },
}

const NUMBER_MAX = 9_999_999_999

async function createVersion(call: IamCall): Promise<IamResult> {
  const { parts, params } = call
  const isDefault = optionalFlag(params, 'SetAsDefault')
  const document = required(params, 'PolicyDocument', DOCUMENT)
  const createdMs = parts.clock.nowMs()
  return parts.state.transaction(async (tx) => {
    const before = await ownPolicyAsked(call, tx)
    const text = checkedShared(document)
    const versions = await iamPolicyVersions.list(tx, { prefix: [before.id] })
    if (versions.length >= VERSIONS_MAX)
      throw limitExceeded(`versions of a policy: ${VERSIONS_MAX}; delete one first`)
    const number = before.lastVersion + 1
    const version = { policyId: before.id, number, document, createdMs }
    const row = {
      ...before,
      lastVersion: number,
      updatedMs: createdMs,
      ...(isDefault && { defaultVersion: number, text }),
    }
    await iamPolicyVersions.put(tx, version)
    await iamPolicies.put(tx, row)
    return { PolicyVersion: showVersion(row, version) }
  })
}

/** What a version of AWS's policies has, too. */
type Version = Pick<IamPolicyVersionRow, 'number' | 'document'> & Partial<IamPolicyVersionRow>

async function versionsOf(
  reader: StateReader,
  { own, text }: SharedPolicy,
): Promise<readonly Version[]> {
  if (own === null) return [{ number: 1, document: text }]
  return iamPolicyVersions.list(reader, { prefix: [own.id] })
}

async function versionAsked(call: IamCall, policy: SharedPolicy): Promise<Version> {
  const id = required(call.params, 'VersionId', VERSION_ID)
  if (policy.own !== null) return ownVersion(call, policy.own, call.parts.state)
  if (id !== 'v1') throw noSuchVersion(policy.name, id)
  return { number: 1, document: policy.text }
}

async function ownVersion(
  { params }: IamCall,
  { id, name }: IamPolicyRow,
  reader: StateReader,
): Promise<IamPolicyVersionRow> {
  const asked = required(params, 'VersionId', VERSION_ID)
  const number = Number(/^v(\d+)$/.exec(asked)?.[1])
  const row = await iamPolicyVersions.get(reader, ...policyVersionKey(id, number))
  if (row === undefined) throw noSuchVersion(name, asked)
  return row
}

function showVersion(
  policy: Pick<IamPolicyRow, 'defaultVersion'> | null,
  { number, createdMs }: Version,
): IamResult {
  return {
    VersionId: `v${number}`,
    IsDefaultVersion: number === (policy?.defaultVersion ?? 1),
    ...(createdMs !== undefined && { CreateDate: new Date(createdMs).toISOString() }),
  }
}

function noSuchVersion(name: string, id: string) {
  return noSuchEntity(`Version ${id} of policy ${name}`)
}
