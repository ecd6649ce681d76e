/** What stands in a pattern for any text, and for any one character. */
export const ANY = Symbol('*')
export const ONE = Symbol('?')

/** A text with wildcards, character by character: what came from a variable stays what it is, whatever it looks like. */
export type TextPattern = readonly (string | typeof ANY | typeof ONE)[]

/** `*` and `?` are wildcards. */
export function patternOf(text: string): TextPattern {
  return [...text].map((character) =>
    character === '*' ? ANY : character === '?' ? ONE : character,
  )
}

/** Whether the whole text fits. At most pattern times text steps, whatever the pattern. */
export function fitsPattern(pattern: TextPattern, text: string): boolean {
  const characters = [...text]
  let at = 0
  let next = 0
  let star = -1
  let starAt = 0
  while (at < characters.length) {
    const part = pattern[next]
    if (part === ANY) {
      star = next++
      starAt = at
    } else if (part === ONE || (part !== undefined && part === characters[at])) {
      at++
      next++
    } else if (star >= 0) {
      next = star + 1
      at = ++starAt
    } else {
      return false
    }
  }
  while (pattern[next] === ANY) next++
  return next === pattern.length
}
