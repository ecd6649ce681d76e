import { ServiceError } from '../../common/errors.ts'

/** Who may do what in a whole account: the JSON of X-Account-Access-Control. */
export interface AccountAcl {
  /** As the account's owner. */
  readonly admin: readonly string[]
  /** All of containers and objects; the account itself read-only. */
  readonly readWrite: readonly string[]
  readonly readOnly: readonly string[]
}

export const ACCOUNT_ACL_HEADER = 'x-account-access-control'
/** Where it is stored: system metadata, which clients can neither set nor see. */
export const ACCOUNT_ACL_SYSMETA = 'x-account-sysmeta-core-access-control'

const KEYS = ['admin', 'read-write', 'read-only'] as const

/** Checks what a client sends and returns the text to store; empty removes the ACL. A 400 says what is wrong. */
export function cleanAccountAcl(text: string): string {
  if (text === '') return ''
  const value = parseObject(text)
  const problem = value === null ? `Syntax error in input (${text})` : problemOf(value)
  if (problem !== null) {
    throw new ServiceError(
      'BadAcl',
      `X-Account-Access-Control invalid: ${problem}\n\nInput: ${text}\n`,
      { status: 400 },
    )
  }
  return text
}

/** The stored ACL; null if there is none, or nobody is in it. */
export function parseStoredAccountAcl(
  headers: Readonly<Record<string, string>> | undefined,
): AccountAcl | null {
  const text = headers?.[ACCOUNT_ACL_SYSMETA]
  if (text === undefined || text === '') return null
  const value = parseObject(text)
  if (value === null || problemOf(value) !== null) return null
  const list = (key: string) => (value[key] ?? []) as readonly string[]
  const acl = { admin: list('admin'), readWrite: list('read-write'), readOnly: list('read-only') }
  return acl.admin.length + acl.readWrite.length + acl.readOnly.length === 0 ? null : acl
}

/** The stored ACL as owners see it: keys in order, no blanks, ASCII only. Undefined if there is none. */
export function showAccountAcl(stored: string | undefined): string | undefined {
  const value = stored === undefined || stored === '' ? null : parseObject(stored)
  if (value === null || Object.keys(value).length === 0) return undefined
  const sorted = Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  return JSON.stringify(sorted).replace(
    /[^\0-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function problemOf(value: Readonly<Record<string, unknown>>): string | null {
  for (const key of Object.keys(value)) {
    if (!(KEYS as readonly string[]).includes(key))
      return `Key ${JSON.stringify(key)} not recognized`
  }
  for (const key of KEYS) {
    const members = value[key]
    if (members === undefined) continue
    if (!Array.isArray(members)) return `Value for key ${JSON.stringify(key)} must be a list`
    if (!members.every((member) => typeof member === 'string')) {
      return `Elements of ${JSON.stringify(key)} list must be strings`
    }
  }
  return null
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
