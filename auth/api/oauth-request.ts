import { type OAuthRequest, parseOAuthHeader } from '../oauth1/oauth-signature.ts'
import type { IdentityCall } from './identity-call.ts'

/** The call as one that a consumer has signed; null without a header of OAuth. */
export function oauthRequestOf(call: IdentityCall): OAuthRequest | null {
  const parameters = parseOAuthHeader(call.header('authorization'))
  if (parameters === null) return null
  const { publicUrl } = call.context.parts.settings
  const bases = publicUrl === undefined ? [call.baseUrl] : [publicUrl, call.baseUrl]
  return {
    method: call.method,
    urls: bases.map((base) => base + call.path),
    query: [...call.query],
    parameters,
  }
}
