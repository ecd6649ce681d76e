/**
 * Tokens of OpenID Connect providers (JWTs), for AssumeRoleWithWebIdentity. Keys are those that the provider publishes;
 * nobody else's word counts.
 */
import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  type JWTPayload,
  jwtVerify,
} from 'jose'
import type { IamResult } from '../../common/iam.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { type IamProviderRow, type IamTag, iamProviders } from '../tables/iam.ts'
import { providerArn } from './arns.ts'
import type { IamCall } from './iam-call.ts'
import { expiredToken, invalidIdentityToken } from './iam-error.ts'
import { required } from './iam-params.ts'
import { documentFetcher, keysUrl } from './provider-documents.ts'
import { withoutScheme } from './providers.ts'
import { assumeByWebIdentity, roleAsked } from './sts.ts'

const TOKEN = { pattern: /^[\w=+/.-]{4,20000}$/, what: 'a JSON Web Token' }
/** How far clocks may be apart. */
const CLOCK_SECONDS = 30
/** Providers whose keys are remembered. */
const PROVIDERS_MAX = 100
const TAGS_CLAIM = 'https://aws.amazon.com/tags'
const TAGS_MAX = 50

type KeySet = ReturnType<typeof createRemoteJWKSet>

/** Answers AssumeRoleWithWebIdentity, which nobody has to sign. */
export class WebIdentities {
  readonly #keySets = new Map<string, KeySet>()

  async assume(call: Pick<IamCall, 'parts' | 'params'>): Promise<IamResult> {
    const token = required(call.params, 'WebIdentityToken', TOKEN)
    const role = await roleAsked(call)
    const provider = await providerOf(call.parts, { token, projectId: role.projectId })
    const claims = await this.#verified(call.parts, provider, token)
    const audience = audienceOf(claims, provider)
    const { sub = '' } = claims
    return assumeByWebIdentity(call, role, {
      provider: providerArn(call.parts, provider.projectId, provider.name),
      keys: claimKeys(provider, claims, audience),
      subject: sub,
      audience,
      tags: tagsOfClaims(claims),
    })
  }

  async #verified(
    parts: Pick<IdentityParts, 'clock' | 'settings'>,
    provider: IamProviderRow,
    token: string,
  ): Promise<JWTPayload> {
    const keys = await this.#keysOf(parts, provider.url)
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'],
        currentDate: new Date(parts.clock.nowMs()),
        clockTolerance: CLOCK_SECONDS,
        requiredClaims: ['iss', 'exp'],
      })
      return payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw expiredToken()
      if (error instanceof errors.JOSEError) {
        throw invalidIdentityToken(`The web identity token is not good: ${error.message}`)
      }
      throw error
    }
  }

  async #keysOf({ settings }: Pick<IdentityParts, 'settings'>, url: string): Promise<KeySet> {
    const known = this.#keySets.get(url)
    if (known !== undefined) return known
    const fetcher = documentFetcher(settings.webIdentityHosts)
    const options = { [customFetch]: fetcher, timeoutDuration: 5000 }
    const keys = createRemoteJWKSet(await keysUrl(url, fetcher), options)
    if (this.#keySets.size >= PROVIDERS_MAX) {
      const [oldest] = this.#keySets.keys()
      this.#keySets.delete(oldest!)
    }
    this.#keySets.set(url, keys)
    return keys
  }
}

/** The provider that the token says it is of, as the role's account knows it. */
async function providerOf(
  { state }: Pick<IdentityParts, 'state'>,
  { token, projectId }: { readonly token: string; readonly projectId: string },
): Promise<IamProviderRow> {
  const issuer = issuerOf(token)
  const row = await iamProviders.get(state, projectId, withoutScheme(issuer).replace(/\/$/, ''))
  if (row === undefined)
    throw invalidIdentityToken('No OpenIDConnect provider found in your account')
  return row
}

function issuerOf(token: string): string {
  try {
    const { iss } = decodeJwt(token)
    if (typeof iss === 'string') return iss
  } catch {
    // Said below.
  }
  throw invalidIdentityToken('The web identity token is no JSON Web Token with an issuer.')
}

/** Whom the token is for: `azp` where it is for several. A provider with client ids takes no others. */
function audienceOf({ aud, azp }: JWTPayload, { clientIds }: IamProviderRow): string {
  const audiences = [aud ?? []].flat()
  const audience = typeof azp === 'string' && audiences.length !== 1 ? azp : (audiences[0] ?? '')
  if (clientIds.length > 0 && ![...audiences, azp].some((id) => clientIds.includes(String(id))))
    throw invalidIdentityToken('Incorrect token audience')
  return audience
}

/** `accounts.example.com:sub`, `:aud`, `:azp`; `:app_id` is the audience, as some providers call it. */
function claimKeys({ name }: IamProviderRow, claims: JWTPayload, audience: string) {
  const beginning = `${name.toLowerCase()}:`
  return (key: string): readonly string[] | undefined => {
    if (!key.startsWith(beginning)) return undefined
    const claim = key.slice(beginning.length)
    if (claim === 'app_id') return [audience]
    if (!Object.hasOwn(claims, claim)) return undefined
    const values = [claims[claim]]
      .flat()
      .filter((value) => ['string', 'number'].includes(typeof value))
    return values.length === 0 ? undefined : values.map(String)
  }
}

function tagsOfClaims(claims: JWTPayload): readonly IamTag[] {
  const given = claims[TAGS_CLAIM] as { readonly principal_tags?: unknown } | undefined
  const principal = given?.principal_tags
  const sets = Array.isArray(principal) ? (principal as unknown[]) : [principal ?? {}]
  const tags = sets.flatMap((set) =>
    Object.entries(set as object).flatMap(([key, values]) =>
      [values].flat().map((value) => ({ key, value: String(value) })),
    ),
  )
  if (
    tags.length > TAGS_MAX ||
    tags.some(({ key, value }) => key.length > 128 || value.length > 256)
  )
    throw invalidIdentityToken('The tags of the web identity token are too many, or too long.')
  return tags
}
