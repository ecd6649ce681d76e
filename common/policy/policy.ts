import { ServiceError } from '../errors.ts'

/** What a rule is judged by: attributes, some of them nested; looked up by dotted paths. */
export type PolicyFacts = Readonly<Record<string, unknown>>

/** Who asks: `roles` is a list of names, all else as rules name it (`user_id`, `token.domain.id`). */
export interface PolicyCredentials extends PolicyFacts {
  readonly roles: readonly string[]
}

type Check = (credentials: PolicyCredentials, target: PolicyFacts, rules: Rules) => boolean
type Rules = ReadonlyMap<string, Check>

/** `rule:a` may name a rule that names another; longer chains are a circle. */
const DEPTH_MAX = 16

/**
 * Rules in the language of oslo.policy (https://docs.openstack.org/oslo.policy/latest/reference/api/oslo_policy.policy.html):
 * `role:admin`, `rule:other`, `user_id:%(target.user.id)s`, `'literal':%(target.role.name)s`, `None:%(x)s`, `@`, `!`,
 * `not`, `and`, `or`, parentheses. `and` binds stronger than `or`. The empty rule lets everybody through.
 */
export class Policy {
  readonly #rules: Rules

  /** Throws a 500 `BadPolicy` for a rule that cannot be read. */
  constructor(rules: Readonly<Record<string, string>>) {
    this.#rules = new Map(
      Object.entries(rules).map(([name, text]) => [name, parsePolicyRule(text, name)]),
    )
  }

  /** Whether the rule lets these credentials do it to the target. Throws a 500 for a rule that is not there. */
  allows(rule: string, credentials: PolicyCredentials, target: PolicyFacts = {}): boolean {
    const check = this.#rules.get(rule)
    if (check === undefined) throw new ServiceError('BadPolicy', `there is no rule ${rule}`)
    return check(credentials, target, this.#rules)
  }

  has(rule: string): boolean {
    return this.#rules.has(rule)
  }
}

const ALWAYS: Check = () => true
const NEVER: Check = () => false

function parsePolicyRule(text: string, name: string): Check {
  const tokens = tokensOf(text)
  if (tokens.length === 0) return ALWAYS
  const reader = { tokens, at: 0, name }
  const check = readOr(reader)
  if (reader.at < tokens.length) throw unreadable(reader)
  return check
}

interface Reader {
  readonly tokens: readonly string[]
  readonly name: string
  at: number
}

/** Parentheses stand alone, except that of `%(name)s`. */
function tokensOf(text: string): readonly string[] {
  return text.match(/(?:%\([^)]*\)s|'[^']*'|[^\s()])+|[()]/g) ?? []
}

function readOr(reader: Reader): Check {
  const checks = [readAnd(reader)]
  while (takeWord(reader, 'or')) checks.push(readAnd(reader))
  return checks.length === 1 ? checks[0]! : (...args) => checks.some((check) => check(...args))
}

function readAnd(reader: Reader): Check {
  const checks = [readNot(reader)]
  while (takeWord(reader, 'and')) checks.push(readNot(reader))
  return checks.length === 1 ? checks[0]! : (...args) => checks.every((check) => check(...args))
}

function readNot(reader: Reader): Check {
  if (!takeWord(reader, 'not')) return readOne(reader)
  const check = readNot(reader)
  return (...args) => !check(...args)
}

function readOne(reader: Reader): Check {
  const token = reader.tokens[reader.at++]
  if (token === undefined) throw unreadable(reader)
  if (token !== '(') return checkOf(token, reader)
  const check = readOr(reader)
  if (reader.tokens[reader.at++] !== ')') throw unreadable(reader)
  return check
}

function takeWord(reader: Reader, word: string): boolean {
  if (reader.tokens[reader.at]?.toLowerCase() !== word) return false
  reader.at++
  return true
}

function checkOf(token: string, reader: Reader): Check {
  if (token === '@') return ALWAYS
  if (token === '!') return NEVER
  const colon = token.startsWith("'") ? token.indexOf("':") + 1 : token.indexOf(':')
  if (colon < 1 || colon === token.length - 1) throw unreadable(reader)
  const kind = token.slice(0, colon)
  const match = token.slice(colon + 1)
  if (kind === 'rule') return ruleCheck(match)
  if (kind === 'role') return roleCheck(match)
  return attributeCheck(kind, match)
}

function ruleCheck(name: string): Check {
  let depth = 0
  return (credentials, target, rules) => {
    const check = rules.get(name)
    if (check === undefined) return false
    if (depth >= DEPTH_MAX) throw new ServiceError('BadPolicy', `rule ${name} names itself`)
    depth++
    try {
      return check(credentials, target, rules)
    } finally {
      depth--
    }
  }
}

function roleCheck(match: string): Check {
  return ({ roles }, target) => {
    const wanted = filled(match, target)?.toLowerCase()
    return wanted !== undefined && roles.some((role) => role.toLowerCase() === wanted)
  }
}

function attributeCheck(kind: string, match: string): Check {
  const literal = literalOf(kind)
  return (credentials, target) => {
    const wanted = filled(match, target)
    if (wanted === undefined) return false
    if (literal !== undefined) return literal === wanted
    const found = lookUp(credentials, kind)
    if (Array.isArray(found)) return found.some((value) => textOf(value) === wanted)
    // No domain of the caller is not the same as no domain of the target: null equals the word None alone.
    if (found === undefined || (found === null && match !== 'None')) return false
    return textOf(found) === wanted
  }
}

/** The text that a literal stands for in a comparison; undefined if it names an attribute. */
function literalOf(kind: string): string | undefined {
  if (kind.startsWith("'") && kind.endsWith("'")) return kind.slice(1, -1)
  return ['None', 'True', 'False'].includes(kind) || /^\d+$/.test(kind) ? kind : undefined
}

/** The text with the target's value in it; undefined if the target has none. */
function filled(match: string, target: PolicyFacts): string | undefined {
  const place = /^%\((.+)\)s$/.exec(match)
  if (place === null) return match
  const value = lookUp(target, place[1]!)
  return value === undefined ? undefined : textOf(value)
}

function lookUp(facts: PolicyFacts, path: string): unknown {
  let value: unknown = facts
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as PolicyFacts)[name]
  }
  return value
}

function textOf(value: unknown): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  return String(value)
}

function unreadable({ name, tokens }: Reader): ServiceError {
  return new ServiceError('BadPolicy', `rule ${name} cannot be read: ${tokens.join(' ')}`)
}
