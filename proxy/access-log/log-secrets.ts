/** What must not stand in a log in full. Pure. */

/** Query parameters that are as good as a password. */
const SECRET_PARAMETERS =
  /(^|[&?])(temp_url_sig|swiftinfo_sig|X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|signature)=([^&]*)/gi

/** Headers that are. */
const SECRET_HEADERS = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
  'x-account-meta-temp-url-key',
  'x-account-meta-temp-url-key-2',
  'x-amz-copy-source-server-side-encryption-customer-key',
  'x-amz-security-token',
  'x-amz-server-side-encryption-customer-key',
  'x-auth-key',
  'x-auth-token',
  'x-container-meta-temp-url-key',
  'x-container-meta-temp-url-key-2',
  'x-container-sync-auth',
  'x-container-sync-key',
  'x-service-token',
  'x-storage-pass',
  'x-storage-token',
  'x-subject-token',
])

/** So many characters of a secret, if that is at most half of it, and dots for the others. */
export function capped(secret: string, charsMax: number): string {
  return secret.length < 2 * charsMax ? '...' : `${secret.slice(0, charsMax)}...`
}

/** The query, or a target with one. */
export function withoutSecrets(query: string, charsMax = 0): string {
  return query.replace(
    SECRET_PARAMETERS,
    (_, before: string, name: string, value: string) =>
      `${before}${name}=${capped(value, charsMax)}`,
  )
}

/** The header's value as a log may have it; `name` in lower case. */
export function loggedHeader(name: string, value: string, charsMax: number): string {
  return SECRET_HEADERS.has(name) ? capped(value, charsMax) : value
}
