/**
 * Who may talk to a storage node: the head of each request is signed with the cluster's key.
 *
 *   authorization: Swiftlet1 <milliseconds since 1970>.<base64url of HMAC-SHA256(key, path \n time \n head)>
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

const SCHEME = 'Swiftlet1'
/** A signature is refused when its time is further off than this. */
export const SIGNATURE_AGE_MS_MAX = 5 * 60_000

export interface SignedRequest {
  readonly path: string
  /** The head's JSON as it is on the wire. */
  readonly headBytes: Uint8Array
}

/** The value of the authorization header. */
export function signRequest(request: SignedRequest, clusterKey: string, nowMs: number): string {
  const time = String(Math.floor(nowMs))
  return `${SCHEME} ${time}.${mac(request, clusterKey, time)}`
}

/** Why the request is refused, or null if it is signed with the key. */
export function refusalOf(
  request: SignedRequest,
  authorization: string | undefined,
  options: { readonly clusterKey: string; readonly nowMs: number },
): string | null {
  const match = /^Swiftlet1 (\d{1,15})\.([A-Za-z0-9_-]{43})$/.exec(authorization ?? '')
  if (match === null) return 'the request is not signed'
  const expected = Buffer.from(mac(request, options.clusterKey, match[1]!))
  if (!timingSafeEqual(expected, Buffer.from(match[2]!))) return 'the signature does not match'
  const offMs = Math.abs(options.nowMs - Number(match[1]))
  return offMs <= SIGNATURE_AGE_MS_MAX ? null : 'the signature is too old: compare the clocks'
}

function mac({ path, headBytes }: SignedRequest, clusterKey: string, time: string): string {
  return createHmac('sha256', clusterKey)
    .update(`${path}\n${time}\n`)
    .update(headBytes)
    .digest('base64url')
}
