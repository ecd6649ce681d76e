import type { AllowedCall } from '../identity.ts'

/** Whether one of the rules allows the call. */
export function allowsCall(rules: readonly AllowedCall[], call: AllowedCall): boolean {
  return rules.some(({ method, path }) => method === call.method && matchesPath(path, call.path))
}

/** What a pattern is made of: text as it is, or something in its place. */
type Piece = string | typeof PART | typeof REST
const PART = Symbol('anything between two slashes, not empty')
const REST = Symbol('anything, slashes too')

/**
 * Whether a path fits a pattern of Keystone's access rules: `*` and `{name}` stand for one part, `**` for any rest.
 * Takes time by the product of their lengths at most, whatever the pattern: they come from users.
 */
export function matchesPath(pattern: string, path: string): boolean {
  // Where in the path the pieces so far may end.
  let ends = new Set([0])
  for (const piece of piecesOf(pattern)) {
    const next = new Set<number>()
    if (piece === REST) {
      for (let at = Math.min(...ends); at <= path.length; at++) next.add(at)
    } else if (piece === PART) addPartEnds(path, ends, next)
    else {
      for (const end of ends) if (path.startsWith(piece, end)) next.add(end + piece.length)
    }
    if (next.size === 0) return false
    ends = next
  }
  return ends.has(path.length)
}

function addPartEnds(path: string, ends: ReadonlySet<number>, next: Set<number>): void {
  for (const end of ends) {
    for (let at = end; at < path.length && path[at] !== '/' && !next.has(at + 1); at++) {
      next.add(at + 1)
    }
  }
}

function piecesOf(pattern: string): readonly Piece[] {
  const tokens = pattern.match(/\{[^}]*\}|\*\*|\*|[^{*]+|\{/g) ?? []
  return tokens.map((token) => {
    if (token === '**') return REST
    return token === '*' || (token.startsWith('{') && token.endsWith('}')) ? PART : token
  })
}
