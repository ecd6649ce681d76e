/**
 * The operators of conditions. Source: docs.aws.amazon.com/IAM/latest/UserGuide, "IAM JSON policy elements: Condition
 * operators" and "Conditions with multiple context keys or values".
 */
import { BlockList, isIP } from 'node:net'
import { fitsPattern, type TextPattern } from './text-pattern.ts'

/** A value of the policy, with its variables filled in: as a text, and as a pattern. */
export interface PolicyValue {
  readonly text: string
  readonly pattern: TextPattern
}

/** What is done with several values of the request. */
type Quantifier = 'any' | 'ForAllValues' | 'ForAnyValue'

/** One operator with its prefix and suffix: `ForAllValues:StringLikeIfExists`. */
export interface ConditionTest {
  /** Whether it may hold for other values than those, or for none. */
  readonly isNegated: boolean
  /** Whether the value can stand in a policy. */
  takes(value: string): boolean
  /** `actual` are the request's values of the key; undefined if it has none. */
  holds(actual: readonly string[] | undefined, wanted: readonly PolicyValue[]): boolean
}

interface Operator {
  readonly takes?: (value: string) => boolean
  readonly fits: (actual: string, wanted: PolicyValue) => boolean
  readonly negated?: true
}

const equalsNumber = byNumber((a, b) => a === b)
const equalsDate = byDate((a, b) => a === b)
const equals: Operator = { fits: (actual, { text }) => actual === text }
const ignoringCase: Operator = {
  fits: (actual, { text }) => actual.toLowerCase() === text.toLowerCase(),
}
const like: Operator = { fits: (actual, { pattern }) => fitsPattern(pattern, actual) }
const ip: Operator = { takes: (value) => subnetOf(value) !== null, fits: isInSubnet }

const OPERATORS: Readonly<Record<string, Operator>> = {
  StringEquals: equals,
  StringNotEquals: not(equals),
  StringEqualsIgnoreCase: ignoringCase,
  StringNotEqualsIgnoreCase: not(ignoringCase),
  StringLike: like,
  StringNotLike: not(like),
  NumericEquals: equalsNumber,
  NumericNotEquals: not(equalsNumber),
  NumericLessThan: byNumber((a, b) => a < b),
  NumericLessThanEquals: byNumber((a, b) => a <= b),
  NumericGreaterThan: byNumber((a, b) => a > b),
  NumericGreaterThanEquals: byNumber((a, b) => a >= b),
  DateEquals: equalsDate,
  DateNotEquals: not(equalsDate),
  DateLessThan: byDate((a, b) => a < b),
  DateLessThanEquals: byDate((a, b) => a <= b),
  DateGreaterThan: byDate((a, b) => a > b),
  DateGreaterThanEquals: byDate((a, b) => a >= b),
  Bool: { ...ignoringCase, takes: (value) => /^(?:true|false)$/i.test(value) || isVariable(value) },
  BinaryEquals: equals,
  IpAddress: ip,
  NotIpAddress: not(ip),
  // The two are the same, wildcards and all.
  ArnEquals: like,
  ArnNotEquals: not(like),
  ArnLike: like,
  ArnNotLike: not(like),
}

const NULL: ConditionTest = {
  isNegated: true,
  takes: (value) => /^(?:true|false)$/i.test(value),
  holds: (actual, wanted) =>
    wanted.some(({ text }) => (text.toLowerCase() === 'true') === (actual === undefined)),
}

/** Undefined for a name that is none. */
export function parseOperator(name: string): ConditionTest | undefined {
  if (name === 'Null') return NULL
  const [, prefix, base = '', suffix] =
    /^(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?$/.exec(name) ?? []
  const operator = Object.hasOwn(OPERATORS, base) ? OPERATORS[base] : undefined
  if (operator === undefined) return undefined
  const quantifier: Quantifier = (prefix as Quantifier | undefined) ?? 'any'
  return testOf(operator, { quantifier, ifExists: suffix !== undefined })
}

function testOf(
  operator: Operator,
  { quantifier, ifExists }: { readonly quantifier: Quantifier; readonly ifExists: boolean },
): ConditionTest {
  const { fits, negated = false } = operator
  const one = (actual: string, wanted: readonly PolicyValue[]) =>
    wanted.some((value) => fits(actual, value)) !== negated
  return {
    isNegated: negated || ifExists || quantifier === 'ForAllValues',
    takes: operator.takes ?? (() => true),
    holds(actual, wanted) {
      if (actual === undefined)
        return ifExists || quantifier === 'ForAllValues' || (negated && quantifier === 'any')
      // Without a word on several values, one that fits is enough, and for the negated ones too much.
      if (quantifier === 'ForAllValues' || (quantifier === 'any' && negated))
        return actual.every((value) => one(value, wanted))
      return actual.some((value) => one(value, wanted))
    },
  }
}

function not(operator: Operator): Operator {
  return { ...operator, negated: true }
}

function byNumber(compare: (actual: number, wanted: number) => boolean): Operator {
  return {
    takes: (value) => isVariable(value) || !Number.isNaN(numberOf(value)),
    fits: (actual, { text }) => compare(numberOf(actual), numberOf(text)),
  }
}

/** NaN for what is none: no comparison holds with it. */
function numberOf(text: string): number {
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN
}

function byDate(compare: (actualMs: number, wantedMs: number) => boolean): Operator {
  return {
    takes: (value) => isVariable(value) || !Number.isNaN(dateMs(value)),
    fits: (actual, { text }) => compare(dateMs(actual), dateMs(text)),
  }
}

/** A date of ISO 8601, or seconds since 1970. */
function dateMs(text: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000
  return /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
}

function isInSubnet(actual: string, { text }: PolicyValue): boolean {
  const version = isIP(actual)
  const subnet = subnetOf(text)
  if (version === 0 || subnet === null) return false
  const list = new BlockList()
  list.addSubnet(subnet.address, subnet.bits, subnet.family)
  return list.check(actual, version === 4 ? 'ipv4' : 'ipv6')
}

function subnetOf(text: string) {
  const [address = '', bits, ...more] = text.split('/')
  const version = isIP(address)
  const most = version === 4 ? 32 : 128
  const count = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (version === 0 || more.length > 0 || !(count <= most)) return null
  return { address, bits: count, family: version === 4 ? ('ipv4' as const) : ('ipv6' as const) }
}

function isVariable(text: string): boolean {
  return text.startsWith('${')
}
