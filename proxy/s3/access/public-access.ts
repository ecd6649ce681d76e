/**
 * What keeps a bucket from being everybody's, whatever else grants it. Source: docs.aws.amazon.com/AmazonS3/latest/userguide,
 * "Blocking public access to your Amazon S3 storage". Pure.
 */
import type { PolicyDocument, Statement } from '../../../common/access-policy/policy-document.ts'

export const BLOCKS = [
  'BlockPublicAcls',
  'IgnorePublicAcls',
  'BlockPublicPolicy',
  'RestrictPublicBuckets',
] as const
export type Block = (typeof BLOCKS)[number]
export type PublicAccessBlock = Readonly<Record<Block, boolean>>

export const NO_BLOCKS: PublicAccessBlock = {
  BlockPublicAcls: false,
  IgnorePublicAcls: false,
  BlockPublicPolicy: false,
  RestrictPublicBuckets: false,
}

/** The names of those that are set; empty: there is a configuration, and none is. */
export function encodeBlocks(blocks: PublicAccessBlock): string {
  return `=${BLOCKS.filter((name) => blocks[name]).join(',')}`
}

export function decodeBlocks(text: string | undefined): PublicAccessBlock {
  if (text === undefined) return NO_BLOCKS
  const set = text.slice(1).split(',')
  return Object.fromEntries(BLOCKS.map((name) => [name, set.includes(name)])) as PublicAccessBlock
}

/** Conditions that keep a statement for everybody from being public, if they name one of something. */
const FIXING_KEYS = [
  'aws:sourcearn',
  'aws:sourcevpc',
  'aws:sourcevpce',
  'aws:sourceaccount',
  'aws:sourceowner',
  'aws:sourceip',
  'aws:principalaccount',
  'aws:principalarn',
  'aws:principalorgid',
  'aws:principalorgpaths',
  'aws:userid',
  's3:x-amz-server-side-encryption-aws-kms-key-id',
  's3:dataaccesspointaccount',
  's3:dataaccesspointarn',
]

/** Whether it gives something to people that its author cannot name. */
export function isPublicPolicy({ statements }: PolicyDocument): boolean {
  return statements.some(isPublicStatement)
}

function isPublicStatement({ effect, principal, conditions }: Statement): boolean {
  if (effect !== 'Allow' || principal === undefined) return false
  if (!principal.everybody && !principal.not) return false
  return !conditions.some(
    ({ test, key, values }) =>
      !test.isNegated && FIXING_KEYS.includes(key) && values.every((value) => isFixed(key, value)),
  )
}

/** One of something: no wildcard, no variable, and no wider than the networks that AWS takes for one. */
function isFixed(key: string, value: string): boolean {
  if (/[*?]|\$\{/.test(value)) return false
  if (key !== 'aws:sourceip') return true
  const bits = Number(value.split('/')[1] ?? 128)
  return value.includes(':') ? bits >= 32 : bits >= 8
}
