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

/**
 * Whether the whole text fits. What stands between two stars is looked for by its bits, 31 characters of it at once, so that no
 * pattern takes long: at most pattern times text steps, divided by 31.
 */
export function fitsPattern(pattern: TextPattern, text: string): boolean {
  const characters = [...text]
  const first = pattern.indexOf(ANY)
  if (first < 0) return pattern.length === characters.length && standsAt(pattern, characters, 0)
  const last = pattern.lastIndexOf(ANY)
  const tail = pattern.slice(last + 1)
  const end = characters.length - tail.length
  if (end < first || !standsAt(pattern.slice(0, first), characters, 0)) return false
  if (!standsAt(tail, characters, end)) return false
  let at = first
  for (const part of partsOf(pattern.slice(first, last))) {
    const found = indexOfPart(part, characters, { at, end })
    if (found < 0) return false
    at = found + part.length
  }
  return true
}

/** A pattern without stars. */
type Part = readonly (TextPattern[number] & (string | typeof ONE))[]

function standsAt(pattern: TextPattern, characters: readonly string[], at: number): boolean {
  return pattern.every((one, index) => one === ONE || one === characters[at + index])
}

/** What stands between the stars. */
function partsOf(pattern: TextPattern): readonly Part[] {
  const parts: Part[number][][] = []
  let part: Part[number][] = []
  for (const one of pattern) {
    if (one !== ANY) {
      part.push(one)
      continue
    }
    if (part.length > 0) parts.push(part)
    part = []
  }
  return part.length > 0 ? [...parts, part] : parts
}

const WORD_BITS = 31

/**
 * Where the part stands first from `at` on, ending before `end`; -1: nowhere. Bit n of the state says that the first n + 1
 * characters of the part end here ("shift and", Baeza-Yates and Gonnet 1992).
 */
function indexOfPart(
  part: Part,
  characters: readonly string[],
  { at, end }: { readonly at: number; readonly end: number },
): number {
  if (part.length > end - at) return -1
  const words = Math.ceil(part.length / WORD_BITS)
  const { masks, others } = masksOf(part, words)
  const state = new Int32Array(words)
  const lastWord = words - 1
  const lastBit = 1 << ((part.length - 1) % WORD_BITS)
  for (let index = at; index < end; index++) {
    const mask = masks.get(characters[index]!) ?? others
    let carry = 1
    for (let word = 0; word < words; word++) {
      const before = state[word]!
      state[word] = ((before << 1) | carry) & mask[word]!
      carry = (before >>> (WORD_BITS - 1)) & 1
    }
    if ((state[lastWord]! & lastBit) !== 0) return index + 1 - part.length
  }
  return -1
}

/** Of each character the places where it may stand, and of all that are not named. */
function masksOf(part: Part, words: number) {
  const others = new Int32Array(words)
  const masks = new Map<string, Int32Array>()
  const setBit = (mask: Int32Array, index: number) => {
    mask[Math.floor(index / WORD_BITS)]! |= 1 << (index % WORD_BITS)
  }
  part.forEach((one, index) => {
    if (one === ONE) setBit(others, index)
  })
  part.forEach((one, index) => {
    if (one === ONE) return
    const mask = masks.get(one) ?? others.slice()
    setBit(mask, index)
    masks.set(one, mask)
  })
  return { masks, others }
}
