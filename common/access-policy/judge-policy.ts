import type { PolicyValue } from './condition-operators.ts'
import type {
  Effect,
  Matcher,
  PolicyDocument,
  PrincipalMatcher,
  Statement,
} from './policy-document.ts'
import { asWritten, type ConditionKeys, fillIn, fillInAll } from './policy-variables.ts'
import { fitsPattern } from './text-pattern.ts'

/** Who asks, by all the names that policies may give them. */
export interface PolicyPrincipal {
  /** Of themselves: a user; an assumed role's session and the role. */
  readonly arns: readonly string[]
  /** A policy that names their account, by its id or as `arn:aws:iam::ID:root`, means them too. */
  readonly accounts: readonly string[]
  readonly canonicalIds: readonly string[]
  /** Of an identity provider: its ARN. */
  readonly federated: readonly string[]
  /** Of a part of the store itself: `logging.s3.amazonaws.com`. What is granted to everybody is not, what is denied is. */
  readonly service?: string
}

export interface PolicyRequest {
  /** `s3:GetObject`. */
  readonly action: string
  /** `arn:aws:s3:::bucket/key`; of no account in a trust. */
  readonly resource: string
  /** Null where nobody has signed. */
  readonly principal: PolicyPrincipal | null
  readonly keys: ConditionKeys
}

export type Judgement = 'allow' | 'deny' | null

/** What the policy says of the request: a Deny that applies wins over every Allow; null where it says nothing. */
export function judgePolicy(document: PolicyDocument, request: PolicyRequest): Judgement {
  let judgement: Judgement = null
  for (const statement of document.statements) {
    if (!applies(statement, request, document.hasVariables)) continue
    if (statement.effect === 'Deny') return 'deny'
    judgement = 'allow'
  }
  return judgement
}

/** Whether the policy allows the principal one of the actions, on something and under some condition. */
export function mayAllow(
  { statements }: PolicyDocument,
  asked: { readonly actions: readonly string[]; readonly principal: PolicyPrincipal | null },
): boolean {
  const names = asked.actions.map((name) => name.toLowerCase())
  return statements.some(
    ({ effect, principal, action }) =>
      effect === 'Allow' &&
      (principal === undefined || isMeant(principal, asked.principal, effect)) &&
      names.some((name) => isNamed(action, name, asWritten)),
  )
}

/** The statements that speak of the request. */
export function statementsAbout(
  document: PolicyDocument,
  request: PolicyRequest,
): readonly Statement[] {
  const { statements, hasVariables } = document
  return statements.filter((statement) => applies(statement, request, hasVariables))
}

function applies(statement: Statement, request: PolicyRequest, hasVariables: boolean): boolean {
  const { effect, principal, action, resource, conditions } = statement
  const { keys } = request
  const filled = (text: string) => (hasVariables ? fillIn(text, keys) : asWritten(text))
  return (
    (principal === undefined || isMeant(principal, request.principal, effect)) &&
    isNamed(action, request.action.toLowerCase(), asWritten) &&
    (resource === undefined || isNamed(resource, request.resource, filled)) &&
    conditions.every(({ test, key, values }) =>
      test.holds(
        keys(key),
        values.flatMap((value) => (hasVariables ? fillInAll(value, keys) : [asWritten(value)])),
      ),
    )
  )
}

function isNamed(
  { values, not }: Matcher,
  text: string,
  filled: (text: string) => PolicyValue | null,
): boolean {
  const fits = values.some((value) => {
    const found = filled(value)
    return found !== null && fitsPattern(found.pattern, text)
  })
  return fits !== not
}

function isMeant(
  matcher: PrincipalMatcher,
  principal: PolicyPrincipal | null,
  effect: Effect,
): boolean {
  const isEverybody = matcher.everybody && (principal?.service === undefined || effect === 'Deny')
  return (isEverybody || isOneOf(matcher, principal)) !== matcher.not
}

function isOneOf({ values }: PrincipalMatcher, principal: PolicyPrincipal | null): boolean {
  if (principal === null) return false
  const { arns, accounts, canonicalIds, federated, service } = principal
  const isAws = (text: string) =>
    arns.includes(text) ||
    accounts.some((account) => text === account || text === `arn:aws:iam::${account}:root`)
  return (
    (values.AWS?.some(isAws) ?? false) ||
    (values.CanonicalUser?.some((id) => canonicalIds.includes(id)) ?? false) ||
    (values.Federated?.some((arn) => federated.includes(arn)) ?? false) ||
    (service !== undefined && values.Service?.includes(service) === true)
  )
}
