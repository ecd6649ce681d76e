import { Policy, type PolicyCredentials, type PolicyFacts } from '../../common/policy/policy.ts'
import { forbiddenAction, unauthorized } from '../errors.ts'
import { NAMED_CHECKS, POLICY_RULES, type PolicyAction, type PolicyRule } from './rules.ts'
import type { TokenScopeKind } from './scope.ts'

/** Who asks, as rules see it, and with what kind of token. */
export interface PolicyCaller {
  readonly credentials: PolicyCredentials
  readonly scope: TokenScopeKind | 'unscoped'
}

/** Judges calls by the table of `rules.ts`. */
export class IdentityPolicy {
  readonly #policy = new Policy({
    ...NAMED_CHECKS,
    ...Object.fromEntries(Object.entries(POLICY_RULES).map(([name, { check }]) => [name, check])),
  })

  /** Throws 401 without a caller, 403 if the rule or the scope of the token forbids it. */
  enforce(action: PolicyAction, caller: PolicyCaller | null, target: PolicyFacts = {}): void {
    if (caller === null) throw unauthorized()
    if (!this.allows(action, caller, target)) throw forbiddenAction(`identity:${action}`)
  }

  allows(action: PolicyAction, caller: PolicyCaller, target: PolicyFacts = {}): boolean {
    const { scopes }: PolicyRule = POLICY_RULES[action]
    const { scope, credentials } = caller
    if (scopes !== undefined && (scope === 'unscoped' || !scopes.includes(scope))) return false
    return this.#policy.allows(action, credentials, target)
  }
}
