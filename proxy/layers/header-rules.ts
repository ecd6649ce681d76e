/** Names of headers in lower case; one that ends with a star stands for all that begin so. */
export type HeaderPatterns = readonly string[]

/** Which headers go: those that match `remove` and not `allow`. */
export interface HeaderRules {
  readonly remove: HeaderPatterns
  readonly allow: HeaderPatterns
}

/** Whether the rules take the header away. */
export function isRemoved(name: string, rules: HeaderRules): boolean {
  const lower = name.toLowerCase()
  return matches(lower, rules.remove) && !matches(lower, rules.allow)
}

function matches(name: string, patterns: HeaderPatterns): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  )
}
