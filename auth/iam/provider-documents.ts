/** What providers publish of themselves: OpenID Connect Discovery 1.0, section 4, and the keys that it names. */
import { isIP } from 'node:net'
import { Agent, request } from 'undici'
import { isPublicAddress, publicLookup } from '../../common/http/public-address.ts'
import { invalidIdentityToken } from './iam-error.ts'

const BYTES_MAX = 256 * 1024
const WAIT_MS = 5000

/** Gives the document; fetch as far as it is needed here. */
export type DocumentFetcher = (url: string) => Promise<Response>

/**
 * Reads only what is on the internet, by HTTPS: where the providers are is said by users, who may not reach by it what only
 * this server may. `hosts` (as in URLs, with their port) are excepted from both.
 */
export function documentFetcher(hosts: readonly string[]): DocumentFetcher {
  const open = new Agent({ headersTimeout: WAIT_MS, bodyTimeout: WAIT_MS, connectTimeout: WAIT_MS })
  const guarded = new Agent({
    headersTimeout: WAIT_MS,
    bodyTimeout: WAIT_MS,
    connect: { lookup: publicLookup, timeout: WAIT_MS },
  })
  return async (text) => {
    const url = new URL(text)
    const isExcepted = hosts.includes(url.host)
    const address = url.hostname.replace(/^\[|\]$/g, '')
    if (
      !isExcepted &&
      (url.protocol !== 'https:' || (isIP(address) !== 0 && !isPublicAddress(address)))
    )
      throw unreadable(text, 'it is not on the internet')
    try {
      const { statusCode, body } = await request(url, { dispatcher: isExcepted ? open : guarded })
      return new Response(await bounded(body, text), { status: statusCode })
    } catch (error) {
      throw unreadable(text, error instanceof Error ? error.message : String(error))
    }
  }
}

/** Where the provider's keys are. */
export async function keysUrl(provider: string, fetcher: DocumentFetcher): Promise<URL> {
  const place = `${provider}/.well-known/openid-configuration`
  const answer = await fetcher(place)
  if (!answer.ok) throw unreadable(place, `it is answered ${answer.status}`)
  const document = (await answer.json().catch(() => null)) as {
    readonly issuer?: unknown
    readonly jwks_uri?: unknown
  } | null
  const { issuer, jwks_uri: keys } = document ?? {}
  if (issuer !== provider) throw unreadable(place, 'it is of another issuer')
  if (typeof keys !== 'string' || !URL.canParse(keys)) throw unreadable(place, 'it names no keys')
  return new URL(keys)
}

async function bounded(body: AsyncIterable<Uint8Array>, place: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > BYTES_MAX) throw unreadable(place, 'it is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function unreadable(place: string, why: string) {
  return invalidIdentityToken(`Couldn't retrieve ${place}: ${why}`)
}
