/** What a token is good for: the whole deployment, a domain or a project. */
export type TokenScopeKind = 'system' | 'domain' | 'project'
