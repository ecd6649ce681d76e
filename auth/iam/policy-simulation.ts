/**
 * What policies would say of actions, without doing them: judged by what judges requests.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html and API_SimulateCustomPolicy.html; where a
 * statement stands in its text is not told, and policies of resources are not simulated.
 */
import { statementsAbout } from '../../common/access-policy/judge-policy.ts'
import {
  type PolicyDocument,
  parsePolicy,
  type Statement,
} from '../../common/access-policy/policy-document.ts'
import type { ConditionKeys } from '../../common/access-policy/policy-variables.ts'
import { ServiceError } from '../../common/errors.ts'
import { type IamResult, principalKeys } from '../../common/iam.ts'
import { type IamEntityRow, iamEntities } from '../tables/iam.ts'
import { entityArn, isCloud, parseArn, storageAccount } from './arns.ts'
import { entityNamed, KINDS } from './entities.ts'
import { authorise, type IamCall, type IamHandler, timeKeys } from './iam-call.ts'
import { invalidInput, limitExceeded, noSuchEntity } from './iam-error.ts'
import { ANY_TEXT, ARN, DOCUMENT, list, optional, optionalNumber, required } from './iam-params.ts'
import { ROLE_POLICY } from './policy-forms.ts'
import type { HolderKind } from './policy-holders.ts'
import { boundaryOf, policiesByRefs } from './shared-policies.ts'

export const SIMULATION_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async SimulateCustomPolicy(call) {
    authorise(call, { projectId: call.caller.projectId, arn: '*' })
    const policies = policiesGiven(call, 'PolicyInputList')
    if (policies.length === 0) throw invalidInput('PolicyInputList is missing.')
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

/** A policy with the names by which answers say where a statement is from. */
interface Source {
  readonly id: string
  readonly type: HolderKind | 'aws-managed' | 'user-managed' | 'none'
  readonly document: PolicyDocument
  readonly characters: number
}

interface Simulated {
  readonly policies: readonly Source[]
  /** Of which one has to allow it, too, if there are any. */
  readonly bounds: readonly Source[]
  /** What is known of whoever acts. */
  readonly keys: ConditionKeys
}

/** The user, group or role whose policies are meant. Throws NoSuchEntity, of other accounts' as well. */
async function sourceAsked(call: IamCall): Promise<IamEntityRow> {
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
async function policiesOf({ parts }: IamCall, row: IamEntityRow): Promise<readonly Source[]> {
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

async function boundsOf({ parts }: IamCall, row: IamEntityRow): Promise<readonly Source[]> {
  const boundary = await boundaryOf(parts, row)
  if (boundary === undefined) return []
  return [sourceOf(boundary.name, boundary.own ? 'user-managed' : 'aws-managed', boundary.text)]
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

function policiesGiven({ params }: IamCall, name: string): readonly Source[] {
  const texts = list(params, name)
  if (charactersOf(texts) > GIVEN_CHARACTERS_MAX)
    throw limitExceeded(`characters of ${name}: ${GIVEN_CHARACTERS_MAX}`)
  return texts.map((text, at) => {
    if (!DOCUMENT.pattern.test(text)) throw invalidInput(`${name} has what is no policy.`)
    return sourceOf(`${name}.${at + 1}`, 'none', text)
  })
}

function sourceOf(id: string, type: Source['type'], text: string): Source {
  try {
    const form = { ...ROLE_POLICY, bytesMax: Number.POSITIVE_INFINITY }
    return { id, type, document: parsePolicy(text, form), characters: text.length }
  } catch (error) {
    if (error instanceof ServiceError && error.status === 400)
      throw invalidInput(`${id}: ${error.message}`)
    throw error
  }
}

/** Characters of all policies that come with a call, and of all values of context. */
const GIVEN_CHARACTERS_MAX = 32_768
const CONTEXT_CHARACTERS_MAX = 4096
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
  const characters = [...policies, ...bounds].reduce((sum, one) => sum + one.characters, 1)
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
      if (charactersOf([...known.values()].flat()) > CONTEXT_CHARACTERS_MAX)
        throw limitExceeded(`characters of context: ${CONTEXT_CHARACTERS_MAX}`)
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
  const about = (sources: readonly Source[]) =>
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
