import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import { badArgument } from './builder.ts'

/** An address in the one form that rings hold: IPv6 shortened and lower-case, without brackets. Throws BadRingArgument. */
export function normalizeIp(text: string): string {
  const address = text.toLowerCase()
  if (isIPv4(address)) return address
  if (isIPv6(address)) return new SocketAddress({ address, family: 'ipv6' }).address
  throw badArgument(`Invalid ip ${text}`)
}

/** The same for an address or a host name (RFC 1123). */
export function normalizeAddress(text: string): string {
  if (text.startsWith('[') && text.endsWith(']')) return normalizeIp(text.slice(1, -1))
  const address = text.toLowerCase()
  if (isIPv4(address) || isIPv6(address)) return normalizeIp(address)
  if (isHostName(address)) return address
  throw badArgument(`Invalid address ${text}`)
}

/** An address as it stands before a port. */
export function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}

function isHostName(name: string): boolean {
  if (name.length < 1 || name.length > 255) return false
  const labels = name.replace(/\.$/, '').split('.')
  return labels.every((label) => /^(?!-)[a-z\d-]{1,63}(?<!-)$/.test(label))
}
