import { isLonger } from '../../common/utf8.ts'
import { badRequest } from '../exchange.ts'
import { pathText } from '../swift/path.ts'
import type { Layer } from './layer.ts'

export interface NameCheckOptions {
  readonly forbiddenChars?: string
  /** Of the whole path, in bytes of UTF-8. */
  readonly bytesMax?: number
  /** A regular expression; null: none. */
  readonly forbiddenRegexp?: string | null
}

/** Swift's own. */
export const NAME_CHECK_DEFAULTS = {
  forbiddenChars: '\'"`<>',
  bytesMax: 255,
  forbiddenRegexp: '/\\./|/\\.\\./|/\\.$|/\\.\\.$',
} satisfies Required<NameCheckOptions>

const WHAT = 'Object/Container/Account name'

/** Refuses names that other systems would stumble over. */
export function nameCheckLayer(options: NameCheckOptions): Layer {
  const settings = { ...NAME_CHECK_DEFAULTS, ...options }
  const { forbiddenChars, bytesMax, forbiddenRegexp } = settings
  const regexp = forbiddenRegexp === null ? null : new RegExp(forbiddenRegexp, 'u')
  const problemOf = (path: string): string | null => {
    for (const char of path) {
      if (forbiddenChars.includes(char)) return `contains forbidden chars from ${forbiddenChars}`
    }
    if (isLonger(path, bytesMax)) return `longer than the allowed maximum ${bytesMax}`
    if (regexp === null || !regexp.test(path)) return null
    return `contains a forbidden substring from regular expression ${forbiddenRegexp}`
  }
  return {
    name: 'nameCheck',
    concerns: () => true,
    answer(exchange, next) {
      const problem = problemOf(pathText(exchange))
      if (problem !== null) throw badRequest(`${WHAT} ${problem}`)
      return next()
    },
    info: {
      name_check: {
        forbidden_chars: forbiddenChars,
        maximum_length: bytesMax,
        forbidden_regexp: forbiddenRegexp,
      },
    },
  }
}
