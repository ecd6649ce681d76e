/**
 * The policy of a form: what its signer lets whoever fills it in upload. Pure.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 */
import { decodeUtf8 } from '../../wire-text.ts'
import { S3Error } from '../s3-error.ts'

export interface PostPolicy {
  readonly expiresAtMs: number
  readonly conditions: readonly FieldCondition[]
  /** Of the file. */
  readonly bytesMin: number
  readonly bytesMax: number
}

export interface FieldCondition {
  readonly kind: 'eq' | 'starts-with'
  /** In lower case. */
  readonly field: string
  readonly value: string
}

/** Fields that need no condition: the signature itself, and what can only make the store stricter. */
const FREE_FIELDS = new Set(['awsaccesskeyid', 'file', 'policy', 'signature', 'x-amz-signature'])
const FREE_PREFIXES = ['x-ignore-', 'x-amz-checksum-', 'x-amz-sdk-checksum-']
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)$/

/** Reads the field `policy`; InvalidPolicyDocument for what is none. */
export function readPostPolicy(base64: string): PostPolicy {
  const text = decodeUtf8(Buffer.from(base64, 'base64'))
  const document = text === null ? null : parsed(text)
  if (!isRecord(document)) throw invalidPolicy('Invalid JSON.')
  const { expiration, conditions } = document
  if (typeof expiration !== 'string') throw invalidPolicy('Policy missing expiration.')
  if (!Array.isArray(conditions)) throw invalidPolicy('Policy missing conditions.')
  const expiresAtMs = TIME.test(expiration) ? Date.parse(expiration) : Number.NaN
  if (Number.isNaN(expiresAtMs)) throw invalidPolicy("Invalid 'expiration' value.")
  const found: FieldCondition[] = []
  let [bytesMin, bytesMax] = [0, Number.POSITIVE_INFINITY]
  for (const condition of conditions) {
    const range = rangeOf(condition)
    if (range === null) {
      found.push(fieldCondition(condition))
      continue
    }
    bytesMin = Math.max(bytesMin, range.min)
    bytesMax = Math.min(bytesMax, range.max)
  }
  return { expiresAtMs, conditions: found, bytesMin, bytesMax }
}

/** Throws AccessDenied unless the policy holds now, all its conditions do, and no field goes without one. */
export function checkPostPolicy(
  policy: PostPolicy,
  of: { readonly fields: ReadonlyMap<string, string>; readonly nowMs: number },
): void {
  if (policy.expiresAtMs < of.nowMs) throw denied('Policy expired.')
  for (const { kind, field, value } of policy.conditions) {
    const given = of.fields.get(field) ?? ''
    const holds = kind === 'eq' ? given === value : given.startsWith(value)
    if (!holds) {
      throw denied(`Policy Condition failed: ["${kind}", "$${field}", ${JSON.stringify(value)}]`)
    }
  }
  const covered = new Set(policy.conditions.map(({ field }) => field))
  const extra = [...of.fields.keys()].filter((field) => !covered.has(field) && !isFree(field))
  if (extra.length > 0) throw denied(`Extra input fields: ${extra.join(', ')}`)
}

function isFree(field: string): boolean {
  return FREE_FIELDS.has(field) || FREE_PREFIXES.some((prefix) => field.startsWith(prefix))
}

/** `{"acl": "private"}` or `["starts-with", "$key", "user/"]`. */
function fieldCondition(condition: unknown): FieldCondition {
  if (Array.isArray(condition)) {
    const [operator, name, value, ...more] = condition as readonly unknown[]
    const kind = typeof operator === 'string' ? operator.toLowerCase() : ''
    const isKnown = kind === 'eq' || kind === 'starts-with'
    if (!isKnown || more.length > 0 || typeof name !== 'string' || typeof value !== 'string') {
      throw invalidPolicy('Invalid Condition.')
    }
    if (!name.startsWith('$')) throw invalidPolicy('Invalid Condition: $ expected.')
    return { kind, field: name.slice(1).toLowerCase(), value }
  }
  const [pair, ...more] = isRecord(condition) ? Object.entries(condition) : []
  if (pair === undefined || more.length > 0 || typeof pair[1] !== 'string') {
    throw invalidPolicy(
      'Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.',
    )
  }
  return { kind: 'eq', field: pair[0].toLowerCase(), value: pair[1] }
}

/** `["content-length-range", 1, 1024]`; null for any other condition. */
function rangeOf(condition: unknown): { readonly min: number; readonly max: number } | null {
  if (!Array.isArray(condition) || typeof condition[0] !== 'string') return null
  if (condition[0].toLowerCase() !== 'content-length-range') return null
  const [min, max] = [bytesOf(condition[1]), bytesOf(condition[2])]
  if (condition.length !== 3 || min === null || max === null) {
    throw invalidPolicy('Invalid content-length-range.')
  }
  return { min, max }
}

function bytesOf(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return Number.isSafeInteger(number) && (number as number) >= 0 ? (number as number) : null
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalidPolicy(why: string): S3Error {
  return new S3Error('InvalidPolicyDocument', `Invalid Policy: ${why}`)
}

function denied(why: string): S3Error {
  return new S3Error('AccessDenied', `Invalid according to Policy: ${why}`)
}
