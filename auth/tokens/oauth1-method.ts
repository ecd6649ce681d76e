import { expecting, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { checkSigned } from '../oauth1/signed-request.ts'
import { accessTokens } from '../tables/oauth1.ts'
import type { AuthContext, AuthProof } from './auth-methods.ts'
import { accessTokenDelegation } from './delegation.ts'

/** Signs in by a request that a consumer has signed with an access token. */
export async function byOAuth1(
  parts: IdentityParts,
  _payload: unknown,
  { wanted, oauth }: AuthContext,
): Promise<AuthProof> {
  const tokenId = oauth?.parameters.get('oauth_token')
  if (oauth === null || tokenId === undefined) throw expecting('oauth_token', 'request')
  if (wanted.kind !== 'none') throw unauthorized('access tokens cannot request a scope')
  const token = await accessTokens.get(parts.state, tokenId)
  const delegation = accessTokenDelegation(token, parts.clock.nowMs())
  await checkSigned(parts, oauth, { consumerId: token!.consumerId, token: token! })
  return { userId: token!.userId, delegation }
}
