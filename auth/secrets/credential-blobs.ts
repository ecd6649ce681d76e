import type { IdentityParts } from '../identity-parts.ts'
import { type CredentialRow, credentials } from '../tables/credentials.ts'
import { openSecret, sealSecret } from './sealed-rows.ts'

/** The blob as a credential keeps it. */
export function sealBlob(
  parts: Pick<IdentityParts, 'secrets' | 'random'>,
  id: string,
  blob: string,
): string {
  return sealSecret(parts, { table: credentials, id }, blob)
}

/** The blob of a credential. Throws 500 `SecretUnreadable`. */
export function openBlob(parts: Pick<IdentityParts, 'secrets'>, row: CredentialRow): string {
  return openSecret(parts, credentials, row)
}
