import type { UserRow } from '../tables/rows.ts'

/** What a user has to prove: one of the sets of methods, each whole. */
export interface FactorRules {
  /** Without methods that are not known; those that had no others are left out. */
  readonly sets: readonly (readonly string[])[]
}

/** The rules of a user's `multi_factor_auth_rules`; none if they are switched off or name nothing that is known. */
export function factorRulesOf(
  { options }: Pick<UserRow, 'options'>,
  known: readonly string[],
): FactorRules {
  const rules = options.multi_factor_auth_rules
  if (options.multi_factor_auth_enabled === false || !Array.isArray(rules)) return { sets: [] }
  const sets = rules
    .filter((rule): rule is readonly string[] => Array.isArray(rule))
    .map((rule) => rule.filter((method) => known.includes(method)))
    .filter((rule) => rule.length > 0)
  return { sets }
}

/** Whether the methods are enough. */
export function areEnough({ sets }: FactorRules, methods: readonly string[]): boolean {
  return sets.length === 0 || sets.some((set) => set.every((method) => methods.includes(method)))
}

/** The sets that one of the methods is of: what is still to be done. */
export function requiredSets(
  { sets }: FactorRules,
  methods: readonly string[],
): readonly (readonly string[])[] {
  return sets.filter((set) => set.some((method) => methods.includes(method)))
}
