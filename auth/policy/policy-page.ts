import { NAMED_CHECKS, POLICY_RULES, type PolicyRule } from './rules.ts'

const HEAD = `# Who may do what at the identity service

Made of \`auth/policy/rules.ts\`, which is what counts: \`UPDATE_DOCS=1 npx tap test/api/identity-policy.test.ts\` writes it anew. The rules
are Keystone's (secure RBAC), in the language of oslo.policy: \`role:\` is a role of the token, \`user_id:%(…)s\` compares what the
token has with what the call is about, \`rule:\` is one of the named pieces. A token has to have one of the scopes; «any» is one
without a scope too. Whoever may not is answered 403, who has no good token 401.
`

/** The page of the rules in Markdown: docs/identity-policy.md. */
export function policyPage(): string {
  const named = Object.entries(NAMED_CHECKS).map(([name, check]) => row([code(name), code(check)]))
  const rules = Object.entries(POLICY_RULES).map(
    ([name, { check, scopes }]: [string, PolicyRule]) =>
      row([code(name), scopes?.join(', ') ?? 'any', check === '' ? 'everybody' : code(check)]),
  )
  return [
    HEAD,
    '## Named pieces\n',
    row(['name', 'rule']),
    row(['---', '---']),
    ...named,
    '\n## Calls\n',
    row(['call', 'scopes', 'rule']),
    row(['---', '---', '---']),
    ...rules,
    '',
  ].join('\n')
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function code(text: string): string {
  return `\`${text}\``
}
