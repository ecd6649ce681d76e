import type { StateTransaction } from '../../common/state/state-store.ts'
import { equalTexts } from '../ec2/aws-signature.ts'
import { unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { openSecret, type SealedRow } from '../secrets/sealed-rows.ts'
import { accessTokens, consumers, requestTokens, usedNonces } from '../tables/oauth1.ts'
import { type OAuthRequest, oauthSignatures } from './oauth-signature.ts'

/** A request says when it was signed; it is good this long around then, and once. */
const LIFE_SECONDS = 600
const NONCE_CHARS_MAX = 255
/** Old nonces forgotten with each new one. */
const FORGOTTEN_AT_ONCE = 100

/** Who has to have signed: a consumer, and what it got for it. */
export interface Signers {
  readonly consumerId: string
  readonly token?: SealedRow
  /** The table of the token. */
  readonly kind?: 'request' | 'access'
}

/** Throws 401 unless the request is signed by both, now, and for the first time. */
export async function checkSigned(
  parts: IdentityParts,
  request: OAuthRequest,
  { consumerId, token, kind = 'access' }: Signers,
): Promise<void> {
  const { parameters } = request
  const consumer = await consumers.get(parts.state, consumerId)
  if (consumer === undefined || parameters.get('oauth_consumer_key') !== consumerId) {
    throw unauthorized('no such consumer')
  }
  if ((parameters.get('oauth_version') ?? '1.0') !== '1.0') throw unauthorized('another version')
  const table = kind === 'access' ? accessTokens : requestTokens
  const secrets = {
    consumer: openSecret(parts, consumers, consumer),
    token: token === undefined ? '' : openSecret(parts, table, token),
  }
  const signature = parameters.get('oauth_signature') ?? ''
  const wanted = oauthSignatures(request, secrets)
  if (!wanted.some((candidate) => equalTexts(candidate, signature))) {
    throw unauthorized('wrong signature')
  }
  await takeNonce(parts, request, { consumerId, tokenId: token?.id ?? '' })
}

async function takeNonce(
  { state, clock }: IdentityParts,
  { parameters }: OAuthRequest,
  by: { readonly consumerId: string; readonly tokenId: string },
): Promise<void> {
  const timestamp = Number(parameters.get('oauth_timestamp'))
  const nonce = parameters.get('oauth_nonce') ?? ''
  const now = clock.nowMs() / 1000
  if (!Number.isSafeInteger(timestamp) || !(Math.abs(now - timestamp) <= LIFE_SECONDS)) {
    throw unauthorized('signed at another time')
  }
  if (nonce === '' || nonce.length > NONCE_CHARS_MAX) throw unauthorized('no nonce')
  const row = { timestamp, nonce, ...by }
  await state.transaction(async (tx) => {
    if ((await usedNonces.get(tx, ...usedNonces.keyOf(row))) !== undefined) {
      throw unauthorized('the request was made before')
    }
    await usedNonces.put(tx, row)
    await forgetOld(tx, now)
  })
}

async function forgetOld(tx: StateTransaction, now: number): Promise<void> {
  for (const row of await usedNonces.list(tx, { limit: FORGOTTEN_AT_ONCE })) {
    if (row.timestamp >= now - LIFE_SECONDS) return
    await usedNonces.delete(tx, ...usedNonces.keyOf(row))
  }
}
