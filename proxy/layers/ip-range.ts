import { BlockList, isIP } from 'node:net'

/**
 * Whether the address lies in the range (`10.0.0.0/8`, `2001:db8::/32`, or one address). False for what is no range, one
 * with bits beyond its prefix included, as in Python's ip_network.
 */
export function isInRange(address: string, range: string): boolean {
  const [first, prefixText, rest] = range.split('/')
  const family = isIP(first!)
  const own = address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '')
  if (family === 0 || rest !== undefined || isIP(own) !== family) return false
  const bits = family === 4 ? 32 : 128
  const prefix = prefixText === undefined ? bits : parsePrefix(prefixText, bits)
  if (prefix === null || hasBitsBeyond(first!, { family, prefix })) return false
  return listOf(first!, { family, prefix }).check(own, family === 4 ? 'ipv4' : 'ipv6')
}

interface Net {
  readonly family: number
  readonly prefix: number
}

function parsePrefix(text: string, bits: number): number | null {
  const prefix = /^\d{1,3}$/.test(text) ? Number(text) : bits + 1
  return prefix <= bits ? prefix : null
}

function listOf(address: string, { family, prefix }: Net): BlockList {
  const list = new BlockList()
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  return list
}

/** `10.0.0.1/8` is not a network: its first address would be another. */
function hasBitsBeyond(address: string, { family, prefix }: Net): boolean {
  const bytes = family === 4 ? bytesOf4(address) : bytesOf6(address)
  return bytes.some(
    (byte, at) => (byte & (0xff >> Math.min(8, Math.max(0, prefix - at * 8)))) !== 0,
  )
}

function bytesOf4(address: string): number[] {
  return address.split('.').map(Number)
}

function bytesOf6(address: string): number[] {
  // The URL parser writes an address in its one short form, IPv4 tails included.
  const [head = '', tail] = new URL(`http://[${address.split('%')[0]}]`).hostname
    .slice(1, -1)
    .split('::')
  const left = wordsOf(head)
  const right = tail === undefined ? [] : wordsOf(tail)
  const words = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
  return words.flatMap((word) => [word >> 8, word & 0xff])
}

function wordsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16))
}
