/**
 * What policies would say of actions, without doing them: judged by what judges requests.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html and API_SimulateCustomPolicy.html; where a
 * statement stands in its text is not told, and policies of resources are not simulated.
 */
import { statementsAbout } from '../../common/access-policy/judge-policy.ts'
import type { Statement } from '../../common/access-policy/policy-document.ts'
import type { ConditionKeys } from '../../common/access-policy/policy-variables.ts'
import { ServiceError } from '../../common/errors.ts'
import { type IamResult, principalKeys } from '../../common/iam.ts'
import type { IamEntityRow } from '../tables/iam.ts'
import { entityArn, isCloud, storageAccount } from './arns.ts'
import { type IamCall, type IamHandler, timeKeys } from './iam-call.ts'
import { invalidInput, limitExceeded } from './iam-error.ts'
import { ANY_TEXT, list, optional, optionalNumber } from './iam-params.ts'
import {
  boundsOf,
  policiesAsked,
  policiesGiven,
  policiesOf,
  type SimulatedPolicy,
  sourceAsked,
} from './simulated-policies.ts'

export const SIMULATION_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async SimulateCustomPolicy(call) {
    const policies = policiesAsked(call)
    const bounds = policiesGiven(call, 'PermissionsBoundaryPolicyInputList')
    return simulate(call, { policies, bounds, keys: () => undefined })
  },
  async SimulatePrincipalPolicy(call) {
    const row = await sourceAsked(call)
    const given = policiesGiven(call, 'PermissionsBoundaryPolicyInputList')
    const policies = [...(await policiesOf(call, row)), ...policiesGiven(call, 'PolicyInputList')]
    const bounds = given.length > 0 ? given : await boundsOf(call, row)
    return simulate(call, { policies, bounds, keys: keysOf(call, row) })
  },
}

interface Simulated {
  readonly policies: readonly SimulatedPolicy[]
  /** Of which one has to allow it, too, if there are any. */
  readonly bounds: readonly SimulatedPolicy[]
  /** What is known of whoever acts. */
  readonly keys: ConditionKeys
}

/** Of users alone: who takes a role on is not known. */
function keysOf({ parts }: IamCall, row: IamEntityRow): ConditionKeys {
  const { kind, projectId, name, id, tags } = row
  if (kind !== 'user') return () => undefined
  const arn = entityArn(parts, row)
  return principalKeys({
    kind,
    account: storageAccount(parts, projectId),
    arn,
    arns: [arn],
    userId: id,
    userName: name,
    isCloud: isCloud(parts, projectId),
    tags,
  })
}

/** Of all values of context that come with a call. */
const CONTEXT_CHARACTERS_MAX = 4096
const CONTEXT_VALUES_MAX = 256
/** Characters of policies times those that they are held against: a page ends before it takes long, whatever is asked. */
const STEPS_MAX = 300_000_000
/** Of which there are a few at least. */
const TEXT_CHARACTERS_MIN = 256

/** Each action on each resource, a page of them. */
function simulate(call: IamCall, simulated: Simulated): IamResult {
  const { params } = call
  if (params.ResourcePolicy !== undefined) {
    const message = 'Policies of resources are not simulated.'
    throw new ServiceError('NotImplemented', message, { status: 501 })
  }
  const actions = actionsAsked(call)
  const given = list(params, 'ResourceArns')
  const resources = given.length === 0 ? ['*'] : given
  if (!resources.every((text) => ANY_TEXT.pattern.test(text)))
    throw invalidInput('ResourceArns has what is no ARN.')
  const said = contextAsked(call)
  const nowMs = call.parts.clock.nowMs()
  const keys: ConditionKeys = (name) =>
    said.get(name) ?? simulated.keys(name) ?? timeKeys(name, nowMs)
  const first = Number(optional(params, 'Marker', MARKER) ?? 0)
  const all = actions.length * resources.length
  const texts = [...said.values(), [resources.reduce((a, b) => (a.length > b.length ? a : b))]]
  const end = Math.min(all, first + pageRoom(call, simulated, charactersOf(texts.flat())))
  const results: IamResult[] = []
  for (let at = first; at < end; at++) {
    const action = actions[Math.floor(at / resources.length)]!
    const resource = resources[at % resources.length]!
    results.push(evaluated({ ...simulated, keys }, action, resource))
  }
  const isTruncated = end < all
  return {
    EvaluationResults: results,
    IsTruncated: isTruncated,
    ...(isTruncated && { Marker: String(end) }),
  }
}

const MARKER = { pattern: /^\d{1,9}$/, what: 'one of ours' }

function pageRoom(
  { params }: IamCall,
  { policies, bounds }: Simulated,
  textCharacters: number,
): number {
  const count = optionalNumber(params, 'MaxItems', { min: 1, max: 1000 }) ?? 100
  const characters = [...policies, ...bounds].reduce((sum, one) => sum + one.text.length, 1)
  const steps = characters * (TEXT_CHARACTERS_MIN + textCharacters)
  return Math.max(1, Math.min(count, Math.floor(STEPS_MAX / steps)))
}

function charactersOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0)
}

function actionsAsked({ params }: IamCall): readonly string[] {
  const actions = list(params, 'ActionNames')
  const isGood = actions.length > 0 && actions.every((name) => /^[a-z0-9-]+:\w{1,128}$/i.test(name))
  if (!isGood) throw invalidInput('ActionNames must be names of actions, like s3:GetObject.')
  return actions
}

/** `ContextEntries`: what conditions are told, by their names in lower case. */
function contextAsked({ params }: IamCall): ReadonlyMap<string, readonly string[]> {
  const known = new Map<string, readonly string[]>()
  for (let at = 1; ; at++) {
    const place = `ContextEntries.member.${at}`
    const name = params[`${place}.ContextKeyName`]
    if (name === undefined) {
      const values = [...known.values()].flat()
      const isMuch =
        values.length > CONTEXT_VALUES_MAX || charactersOf(values) > CONTEXT_CHARACTERS_MAX
      if (isMuch) throw limitExceeded(`characters of context: ${CONTEXT_CHARACTERS_MAX}`)
      return known
    }
    known.set(name.toLowerCase(), list(params, `${place}.ContextKeyValues`))
  }
}

function evaluated(simulated: Simulated, action: string, resource: string): IamResult {
  const missing = new Set<string>()
  const keys: ConditionKeys = (name) => {
    const values = simulated.keys(name)
    if (values === undefined) missing.add(name)
    return values
  }
  const request = { action, resource, principal: null, keys }
  const about = (sources: readonly SimulatedPolicy[]) =>
    sources.flatMap((source) =>
      statementsAbout(source.document, request).map((statement) => ({ source, statement })),
    )
  const own = about(simulated.policies)
  const bounding = about(simulated.bounds)
  const isWithin = simulated.bounds.length === 0 || has(bounding, 'Allow')
  const isDenied = has([...own, ...bounding], 'Deny')
  const isAllowed = !isDenied && isWithin && has(own, 'Allow')
  const effect = isDenied ? 'Deny' : 'Allow'
  const matched = [...own, ...(isDenied ? bounding : [])].filter(
    ({ statement }) => statement.effect === effect,
  )
  return {
    EvalActionName: action,
    EvalResourceName: resource,
    EvalDecision: isDenied ? 'explicitDeny' : isAllowed ? 'allowed' : 'implicitDeny',
    MatchedStatements:
      isDenied || isAllowed
        ? matched.map(({ source }) => ({
            SourcePolicyId: source.id,
            SourcePolicyType: source.type,
          }))
        : [],
    MissingContextValues: [...missing],
    ...(simulated.bounds.length > 0 && {
      PermissionsBoundaryDecisionDetail: {
        AllowedByPermissionsBoundary: isWithin && !has(bounding, 'Deny'),
      },
    }),
  }
}

function has(
  found: readonly { readonly statement: Statement }[],
  effect: Statement['effect'],
): boolean {
  return found.some(({ statement }) => statement.effect === effect)
}
