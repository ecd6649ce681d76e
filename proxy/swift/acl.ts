import { ServiceError } from '../../common/errors.ts'

/** A container's X-Container-Read or X-Container-Write, taken apart. */
export interface ContainerAcl {
  /** Hosts in the order given, `-` in front of those shut out. */
  readonly referrers: readonly string[]
  /** `account:user`, `account`, `*:user`, `.rlistings` … */
  readonly groups: readonly string[]
}

const REFERRER_WORDS = new Set(['.r', '.ref', '.referer', '.referrer'])
const EMPTY: ContainerAcl = { referrers: [], groups: [] }

/**
 * Brings an ACL into its short form (blanks dropped, `.referrer` shortened) as Swift does, and refuses what is not one
 * with a 400: an unknown designator, a referrer without a host, a referrer in a write ACL.
 */
export function cleanAcl(kind: 'read' | 'write', value: string): string {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
    .map((item) => cleanItem(kind, item))
    .join(',')
}

export function parseAcl(text: string | undefined): ContainerAcl {
  if (text === undefined || text === '') return EMPTY
  const referrers: string[] = []
  const groups: string[] = []
  for (const item of text.split(',')) {
    if (item.startsWith('.r:')) referrers.push(item.slice(3))
    else groups.push(unescaped(item))
  }
  return { referrers, groups }
}

/** Without what lets in everybody, or everybody who has signed in: referrers, which anybody can name, and `*:*`. */
export function withoutPublic({ groups }: ContainerAcl): ContainerAcl {
  return { referrers: [], groups: groups.filter((group) => group !== '*:*') }
}

/** Whether it lets in somebody whom nobody has named. */
export function isPublic({ referrers, groups }: ContainerAcl): boolean {
  return referrers.some((host) => !host.startsWith('-')) || groups.includes('*:*')
}

/** Whether the Referer header's host is let in; the last rule that fits decides. */
export function referrerAllowed(referer: string | undefined, rules: readonly string[]): boolean {
  if (rules.length === 0) return false
  const host = hostOf(referer)
  let allowed = false
  for (const rule of rules) {
    const negative = rule.startsWith('-')
    const pattern = negative ? rule.slice(1) : rule
    const fits = pattern === host || (pattern.startsWith('.') && host.endsWith(pattern))
    if (negative ? fits : fits || pattern === '*') allowed = !negative
  }
  return allowed
}

function cleanItem(kind: 'read' | 'write', item: string): string {
  const colon = item.indexOf(':')
  if (colon < 0) return item
  const first = item.slice(0, colon).trim()
  if (!first.startsWith('.')) return item
  if (!REFERRER_WORDS.has(first)) throw badAcl(`Unknown designator '${first}' in ACL: '${item}'`)
  if (kind === 'write') throw badAcl(`Referrers not allowed in write ACL: '${item}'`)
  let host = item.slice(colon + 1).trim()
  const negative = host.startsWith('-')
  if (negative) host = host.slice(1).trim()
  if (host !== '*' && host.startsWith('*')) host = host.slice(1).trim()
  if (host === '' || host === '.') {
    throw badAcl(`No host/domain value after referrer designation in ACL: '${item}'`)
  }
  return `.r:${negative ? '-' : ''}${host}`
}

function badAcl(message: string): ServiceError {
  return new ServiceError('BadAcl', message, { status: 400 })
}

function hostOf(referer: string | undefined): string {
  if (referer === undefined) return 'unknown'
  try {
    return new URL(referer).hostname.toLowerCase() || 'unknown'
  } catch {
    return 'unknown'
  }
}

function unescaped(item: string): string {
  if (!item.includes('%')) return item
  try {
    return decodeURIComponent(item)
  } catch {
    return item
  }
}
