import { SelectError } from '../select-error.ts'

/** Any number of characters, any one, or a certain one. */
type Part = { readonly kind: 'any' | 'one' } | { readonly kind: 'char'; readonly char: string }

/** Whether a text is like that. Never slower than text times pattern, whatever they are. */
export function likeMatcher(pattern: string, mark: unknown): (text: string) => boolean {
  const parts = partsOf(pattern, mark)
  return (text) => matches([...text], parts)
}

function partsOf(pattern: string, mark: unknown): readonly Part[] {
  const isChar = mark === undefined || (typeof mark === 'string' && [...mark].length === 1)
  if (!isChar) throw new SelectError('LikeInvalidInputs', 'ESCAPE takes one character.')
  const parts: Part[] = []
  let isEscaped = false
  for (const char of pattern) {
    if (isEscaped) {
      parts.push({ kind: 'char', char })
      isEscaped = false
    } else if (char === mark) isEscaped = true
    else if (char === '%') parts.push({ kind: 'any' })
    else if (char === '_') parts.push({ kind: 'one' })
    else parts.push({ kind: 'char', char })
  }
  if (isEscaped) throw new SelectError('LikeInvalidInputs', 'The pattern ends with its ESCAPE.')
  return parts
}

/** Goes back to the last `%` only: what an earlier one could do, the last can as well. */
function matches(text: readonly string[], parts: readonly Part[]): boolean {
  let [at, part] = [0, 0]
  let [lastAny, lastAt] = [-1, 0]
  while (at < text.length) {
    const wanted = parts[part]
    if (wanted?.kind === 'any') {
      lastAny = part++
      lastAt = at
    } else if (wanted?.kind === 'one' || (wanted?.kind === 'char' && wanted.char === text[at])) {
      at++
      part++
    } else if (lastAny >= 0) {
      part = lastAny + 1
      at = ++lastAt
    } else return false
  }
  while (parts[part]?.kind === 'any') part++
  return part === parts.length
}
