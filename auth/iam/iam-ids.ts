import type { Random } from '../../common/random.ts'
import { OWN_POLICY_BEGINNING } from '../tables/iam.ts'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** What AWS's ids begin with, by what they are of. */
export const ID_BEGINNINGS = {
  user: 'AIDA',
  group: 'AGPA',
  role: 'AROA',
  account: 'AIDA',
  policy: OWN_POLICY_BEGINNING,
} as const

/** `AIDA` and 17 letters and digits. */
export function entityId(random: Random, kind: keyof typeof ID_BEGINNINGS): string {
  return ID_BEGINNINGS[kind] + letters(random, 17)
}

/** `AKIA` and 16 letters and digits; `ASIA` for a session. */
export function accessKeyId(random: Random, beginning: 'AKIA' | 'ASIA'): string {
  return beginning + letters(random, 16)
}

/** 40 characters of base64. */
export function secretKey(random: Random): string {
  return Buffer.from(random.bytes(30)).toString('base64')
}

function letters(random: Random, count: number): string {
  return [...random.bytes(count)].map((byte) => LETTERS[byte % LETTERS.length]).join('')
}
