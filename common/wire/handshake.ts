/**
 * How a channel begins: an HTTP upgrade in which both sides prove that they have the cluster's key, and agree on keys
 * that serve this channel alone.
 *
 *   GET /v2/channel      connection: Upgrade, upgrade: swiftlet-wire, x-swiftlet-wire: 2
 *                        x-swiftlet-nonce: 32 random bytes in hex
 *                        authorization: as of any request, over the nonce (signature.ts)
 *   101                  x-swiftlet-nonce: 32 random bytes of the node, x-swiftlet-proof: HMAC(key, "node" | nonces)
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { WIRE_VERSION } from './operations.ts'

export const CHANNEL_PATH = `/v${WIRE_VERSION}/channel`
export const CHANNEL_PROTOCOL = 'swiftlet-wire'
export const NONCE_HEADER = 'x-swiftlet-nonce'
export const PROOF_HEADER = 'x-swiftlet-proof'
export const NONCE_BYTES = 32
const NONCE = /^[0-9a-f]{64}$/

/** The kinds of messages of a channel; below them, a call's kind is the number of its operation. */
export const MESSAGE_KINDS = { answer: 254, failure: 255 } as const

export interface Nonces {
  readonly client: string
  readonly node: string
}

export function isNonce(text: string | undefined): text is string {
  return text !== undefined && NONCE.test(text)
}

/** What the node answers to show that it has the key, too. */
export function nodeProof(clusterKey: string, nonces: Nonces): string {
  return derive(clusterKey, 'node', nonces).toString('hex')
}

export function isNodeProof(
  proof: string | undefined,
  clusterKey: string,
  nonces: Nonces,
): boolean {
  const expected = Buffer.from(nodeProof(clusterKey, nonces))
  const given = Buffer.from(proof ?? '')
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/** A key for each direction: what one side has sent cannot be sent back to it. */
export function channelKeys(
  clusterKey: string,
  nonces: Nonces,
): { readonly toNode: Uint8Array; readonly toClient: Uint8Array } {
  return {
    toNode: derive(clusterKey, 'to node', nonces),
    toClient: derive(clusterKey, 'to client', nonces),
  }
}

function derive(clusterKey: string, purpose: string, { client, node }: Nonces): Buffer {
  return createHmac('sha256', clusterKey)
    .update(`swiftlet channel\n${purpose}\n${client}\n${node}`)
    .digest()
}
