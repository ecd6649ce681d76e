/**
 * Policies in the language of AWS: buckets' policies, those of users, groups and roles, and whom a role trusts.
 * Source: docs.aws.amazon.com/IAM/latest/UserGuide, "Grammar of the IAM JSON policy language" and "IAM JSON policy elements".
 */
import { ServiceError } from '../errors.ts'
import { type ConditionTest, parseOperator } from './condition-operators.ts'

export type Effect = 'Allow' | 'Deny'

/** Values that an element names: those alone, or (`NotAction` and the like) all others. */
export interface Matcher {
  readonly values: readonly string[]
  readonly not: boolean
}

/** Kinds of those whom a statement speaks of. */
export const PRINCIPAL_KINDS = ['AWS', 'CanonicalUser', 'Federated', 'Service'] as const
export type PrincipalKind = (typeof PRINCIPAL_KINDS)[number]

export interface PrincipalMatcher {
  readonly everybody: boolean
  readonly values: Readonly<Partial<Record<PrincipalKind, readonly string[]>>>
  readonly not: boolean
}

export interface Condition {
  readonly test: ConditionTest
  /** In lower case. */
  readonly key: string
  readonly values: readonly string[]
}

export interface Statement {
  readonly sid: string | undefined
  readonly effect: Effect
  /** Absent in policies that are somebody's own. */
  readonly principal: PrincipalMatcher | undefined
  /** In lower case. */
  readonly action: Matcher
  /** Absent in those of a role's trust. */
  readonly resource: Matcher | undefined
  readonly conditions: readonly Condition[]
}

export interface PolicyDocument {
  /** Policies before 2012 know no variables. */
  readonly hasVariables: boolean
  readonly statements: readonly Statement[]
}

export interface PolicyForm {
  /** `ignored`: may be there, and counts for nothing. */
  readonly principal: 'required' | 'forbidden' | 'ignored'
  /** `optional`: without it, a statement is about all that the policy can be about. */
  readonly resource: 'required' | 'forbidden' | 'optional'
  readonly bytesMax: number
}

type Json = Readonly<Record<string, unknown>>

const VERSIONS = ['2012-10-17', '2008-10-17']
const STATEMENT_ELEMENTS = [
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]

/** Throws ServiceError `MalformedPolicy` (400), which says what is wrong and where. */
export function parsePolicy(text: string, form: PolicyForm): PolicyDocument {
  if (Buffer.byteLength(text) > form.bytesMax)
    throw malformed(`Policies are limited to ${form.bytesMax} bytes.`)
  const document = objectOf(jsonOf(text), 'The policy')
  refuseUnknown(document, ['Version', 'Id', 'Statement'], 'The policy')
  const { Version: version = '2008-10-17', Id: id, Statement: listed } = document
  if (!VERSIONS.includes(version as string)) throw malformed('Version is none of the known ones.')
  if (id !== undefined && typeof id !== 'string') throw malformed('Id is no text.')
  if (listed === undefined) throw malformed('Missing required field Statement.')
  const parts = Array.isArray(listed) ? listed : [listed]
  if (parts.length === 0) throw malformed('Statement is empty.')
  const statements = parts.map((part) => statementOf(part, form))
  const sids = statements.flatMap(({ sid }) => sid ?? [])
  // Policies of buckets may repeat one.
  if (form.principal !== 'required' && new Set(sids).size < sids.length)
    throw malformed('Statement IDs (SID) must be unique.')
  return { hasVariables: version === '2012-10-17', statements }
}

/** Whether a condition or variable of the policy speaks of a key that begins so; in lower case. */
export function mentionsKey(document: PolicyDocument, beginning: string): boolean {
  return document.statements.some(({ conditions, resource }) => {
    const variable = `\${${beginning}`
    const texts = [...(resource?.values ?? []), ...conditions.flatMap(({ values }) => values)]
    return (
      conditions.some(({ key }) => key.startsWith(beginning)) ||
      texts.some((text) => text.toLowerCase().includes(variable))
    )
  })
}

function statementOf(value: unknown, form: PolicyForm): Statement {
  const json = objectOf(value, 'A statement')
  refuseUnknown(json, STATEMENT_ELEMENTS, 'A statement')
  const { Sid: sid, Effect: effect, Condition: condition = {} } = json
  if (sid !== undefined && typeof sid !== 'string') throw malformed('Sid is no text.')
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed('Effect is neither Allow nor Deny.')
  const action = matcherOf(json, 'Action')
  if (action === undefined) throw malformed('Missing required field Action.')
  if (!action.values.every(isAction)) throw malformed('Policy has invalid action.')
  return {
    sid: sid === '' ? undefined : sid,
    effect,
    principal: principalFor(json, form),
    action: { not: action.not, values: action.values.map((name) => name.toLowerCase()) },
    resource: resourceFor(json, form),
    conditions: conditionsOf(objectOf(condition, 'Condition')),
  }
}

function isAction(text: string): boolean {
  return text === '*' || /^[a-z0-9-]+:[\w*?]+$/i.test(text)
}

function resourceFor(json: Json, form: PolicyForm): Matcher | undefined {
  const resource = matcherOf(json, 'Resource')
  if (form.resource === 'forbidden') {
    if (resource !== undefined) throw malformed('Has prohibited field Resource.')
    return undefined
  }
  if (resource === undefined) {
    if (form.resource === 'optional') return undefined
    throw malformed('Missing required field Resource.')
  }
  if (!resource.values.every((text) => text === '*' || text.startsWith('arn:')))
    throw malformed('Policy has invalid resource.')
  return resource
}

/** `X` or `NotX`, of texts. */
function matcherOf(json: Json, name: 'Action' | 'Resource'): Matcher | undefined {
  const not = json[`Not${name}`]
  if (not === undefined && json[name] === undefined) return undefined
  if (not !== undefined && json[name] !== undefined)
    throw malformed(`${name} and Not${name} exclude each other.`)
  return { values: textsOf(not ?? json[name], name), not: not !== undefined }
}

function principalFor(json: Json, form: PolicyForm): PrincipalMatcher | undefined {
  const not = json.NotPrincipal
  const given = not ?? json.Principal
  if (given === undefined) {
    if (form.principal === 'required') throw malformed('Missing required field Principal.')
    return undefined
  }
  if (form.principal === 'forbidden') throw malformed('Has prohibited field Principal.')
  if (not !== undefined && json.Principal !== undefined)
    throw malformed('Principal and NotPrincipal exclude each other.')
  if (not !== undefined && json.Effect === 'Allow')
    throw malformed('Allow with NotPrincipal is not allowed.')
  const principal = principalOf(given, not !== undefined)
  return form.principal === 'ignored' ? undefined : principal
}

function principalOf(given: unknown, not: boolean): PrincipalMatcher {
  if (given === '*') return { everybody: true, values: {}, not }
  const json = objectOf(given, 'Principal')
  refuseUnknown(json, PRINCIPAL_KINDS, 'Principal')
  const entries = Object.entries(json).map(([kind, value]) => [kind, textsOf(value, kind)] as const)
  if (entries.length === 0) throw malformed('Invalid principal in policy.')
  const values = Object.fromEntries(entries) as PrincipalMatcher['values']
  return { everybody: values.AWS?.includes('*') ?? false, values, not }
}

function conditionsOf(json: Json): readonly Condition[] {
  return Object.entries(json).flatMap(([operator, keys]) => {
    const test = parseOperator(operator)
    if (test === undefined) throw malformed(`Unknown condition operator ${operator}.`)
    return Object.entries(objectOf(keys, operator)).map(([key, given]) => {
      if (!/^[a-z0-9][\w.-]*(?::\S+)?$/i.test(key))
        throw malformed('Policy has an invalid condition key.')
      const values = conditionValues(given)
      if (!values.every((value) => test.takes(value)))
        throw malformed(`Invalid value for ${operator}.`)
      return { test, key: key.toLowerCase(), values }
    })
  })
}

/** Numbers and booleans may stand without quotes there. */
function conditionValues(given: unknown): readonly string[] {
  const list = Array.isArray(given) ? (given as unknown[]) : [given]
  const plain = list.map((value) =>
    typeof value === 'number' || typeof value === 'boolean' ? String(value) : value,
  )
  return textsOf(plain, 'Condition')
}

function textsOf(given: unknown, name: string): readonly string[] {
  const list = Array.isArray(given) ? (given as unknown[]) : [given]
  if (list.length === 0 || !list.every((value) => typeof value === 'string'))
    throw malformed(`${name} is no text, nor a list of texts.`)
  return list as readonly string[]
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw malformed("Policies must be valid JSON and the first byte must be '{'.", cause)
  }
}

function objectOf(value: unknown, name: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(`${name} is no object.`)
  return value as Json
}

function refuseUnknown(json: Json, known: readonly string[], name: string): void {
  const unknown = Object.keys(json).find((key) => !known.includes(key))
  if (unknown !== undefined) throw malformed(`${name} has an unknown field ${unknown}.`)
}

function malformed(message: string, cause?: unknown): ServiceError {
  return new ServiceError('MalformedPolicy', message, { status: 400, cause })
}
