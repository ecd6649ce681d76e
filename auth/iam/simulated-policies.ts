/** Policies that a simulation is about: those of somebody, and those that come along. */
import { type PolicyDocument, parsePolicy } from '../../common/access-policy/policy-document.ts'
import { ServiceError } from '../../common/errors.ts'
import { type IamEntityRow, iamEntities } from '../tables/iam.ts'
import { entityArn, parseArn } from './arns.ts'
import { entityNamed, KINDS } from './entities.ts'
import { authorise, type IamCall } from './iam-call.ts'
import { invalidInput, limitExceeded, noSuchEntity } from './iam-error.ts'
import { ARN, DOCUMENT, list, required } from './iam-params.ts'
import { ROLE_POLICY } from './policy-forms.ts'
import type { HolderKind } from './policy-holders.ts'
import { boundaryOf, policiesByRefs } from './shared-policies.ts'

/** A policy with the names by which answers say where a statement is from. */
export interface SimulatedPolicy {
  readonly id: string
  readonly type: HolderKind | 'aws-managed' | 'user-managed' | 'none'
  readonly document: PolicyDocument
  /** JSON. */
  readonly text: string
}

/** Characters of all policies that come with a call. */
const GIVEN_CHARACTERS_MAX = 32_768

/** The user, group or role whose policies are meant. Throws NoSuchEntity, of other accounts' as well. */
export async function sourceAsked(call: IamCall): Promise<IamEntityRow> {
  const arn = required(call.params, 'PolicySourceArn', ARN)
  const { type = '', name: path = '' } = parseArn(arn) ?? {}
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (!Object.hasOwn(KINDS, type)) throw noSuchEntity(arn)
  const place = { projectId: call.caller.projectId, kind: type as HolderKind, path: '/', name }
  // In another account there is nobody of that name, whoever asks.
  if (!arn.startsWith(entityArn(call.parts, { ...place, name: '' }))) throw noSuchEntity(arn)
  const row = await entityNamed(call, place)
  if (entityArn(call.parts, row) !== arn) throw noSuchEntity(arn)
  return row
}

/** Its own policies, the shared ones, and those of the groups it is in. */
export async function policiesOf(
  { parts }: IamCall,
  row: IamEntityRow,
): Promise<readonly SimulatedPolicy[]> {
  const { state } = parts
  const groups = await Promise.all(row.groups.map((id) => iamEntities.one(state, 'id', id)))
  const holders = [row, ...groups.filter((group) => group !== undefined)]
  const shared = await policiesByRefs(parts, [...new Set(holders.flatMap((one) => one.attached))])
  return [
    ...holders.flatMap(({ kind, inline }) =>
      Object.entries(inline).map(([id, text]) => sourceOf(id, kind as HolderKind, text)),
    ),
    ...shared.map(({ name, own, text }) =>
      sourceOf(name, own === null ? 'aws-managed' : 'user-managed', text),
    ),
  ]
}

/** What bounds it. */
export async function boundsOf(
  { parts }: IamCall,
  row: IamEntityRow,
): Promise<readonly SimulatedPolicy[]> {
  const boundary = await boundaryOf(parts, row)
  if (boundary === undefined) return []
  return [sourceOf(boundary.name, boundary.own ? 'user-managed' : 'aws-managed', boundary.text)]
}

/** Those that are asked about, of nobody; at least one. */
export function policiesAsked(call: IamCall): readonly SimulatedPolicy[] {
  authorise(call, { projectId: call.caller.projectId, arn: '*' })
  const policies = policiesGiven(call, 'PolicyInputList')
  if (policies.length === 0) throw invalidInput('PolicyInputList is missing.')
  return policies
}

/** Those that come along. Throws InvalidInput for what is no policy, LimitExceeded for too much. */
export function policiesGiven({ params }: IamCall, name: string): readonly SimulatedPolicy[] {
  const texts = list(params, name)
  if (texts.reduce((sum, text) => sum + text.length, 0) > GIVEN_CHARACTERS_MAX)
    throw limitExceeded(`characters of ${name}: ${GIVEN_CHARACTERS_MAX}`)
  return texts.map((text, at) => {
    if (!DOCUMENT.pattern.test(text)) throw invalidInput(`${name} has what is no policy.`)
    return sourceOf(`${name}.${at + 1}`, 'none', text)
  })
}

function sourceOf(id: string, type: SimulatedPolicy['type'], text: string): SimulatedPolicy {
  try {
    const form = { ...ROLE_POLICY, bytesMax: Number.POSITIVE_INFINITY }
    return { id, type, document: parsePolicy(text, form), text }
  } catch (error) {
    if (error instanceof ServiceError && error.status === 400)
      throw invalidInput(`${id}: ${error.message}`)
    throw error
  }
}
