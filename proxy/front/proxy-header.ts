/**
 * The header that a load balancer writes before what its client sends, of version 1 (a line) or 2 (binary):
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 *
 *   PROXY TCP4 192.0.2.7 198.51.100.1 40001 443\r\n
 *
 *   | signature, 12 | version, command | family, transport | length, 2 | addresses and TLVs, length |
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net'

/** A client's address as its balancer tells it, in the form in which node:net has addresses. */
export interface ClientAddress {
  readonly address: string
  readonly port: number
  readonly family: 'IPv4' | 'IPv6'
}

/** A header that has come whole. */
export interface ProxyHeader {
  /** What comes behind them is the client's. */
  readonly headerBytes: number
  /** Null: the balancer speaks for itself, or does not know whom it speaks for. */
  readonly client: ClientAddress | null
}

/** A line of version 1, its end included. */
export const LINE_BYTES_MAX = 107
/** What may follow the 16 bytes that a header of version 2 begins with: addresses, and TLVs such as a certificate's name. */
export const BLOCK_BYTES_MAX = 4096

const LINE_START = Buffer.from('PROXY ')
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FIXED_BYTES = 16

/** Null if it is no header, at the first byte that shows it; undefined while bytes are missing. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | null | undefined {
  for (const [start, read] of READERS) {
    const common = Math.min(start.length, bytes.length)
    if (bytes.compare(start, 0, common, 0, common) !== 0) continue
    return common < start.length ? undefined : read(bytes)
  }
  return null
}

type Reader = (bytes: Buffer) => ProxyHeader | null | undefined

const READERS: readonly (readonly [start: Buffer, read: Reader])[] = [
  [LINE_START, readLine],
  [SIGNATURE, readBinary],
]

function readLine(bytes: Buffer): ProxyHeader | null | undefined {
  const end = bytes.subarray(0, LINE_BYTES_MAX).indexOf('\n')
  if (end < 0) return bytes.length < LINE_BYTES_MAX ? undefined : null
  const line = bytes.toString('latin1', LINE_START.length, end)
  const headerBytes = end + 1
  if (/^UNKNOWN( [^\r]*)?\r$/.test(line)) return { headerBytes, client: null }
  const [, version, from, to, fromPort, toPort] = ADDRESSES.exec(line) ?? []
  const isAddress = version === '4' ? isIPv4 : isIPv6
  // A zone is this machine's word for one of its own links.
  if (line.includes('%') || !isAddress(from ?? '') || !isAddress(to ?? '')) return null
  if (!isPort(fromPort!) || !isPort(toPort!)) return null
  return { headerBytes, client: clientOf(version === '4' ? 4 : 6, from!, Number(fromPort)) }
}

const ADDRESSES = /^TCP([46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})\r$/

function isPort(text: string): boolean {
  return String(Number(text)) === text && Number(text) <= 0xffff
}

const COMMANDS = { local: 0x20, proxy: 0x21 } as const

function readBinary(bytes: Buffer): ProxyHeader | null | undefined {
  const [command, family] = [bytes[SIGNATURE.length], bytes[SIGNATURE.length + 1]]
  if (command === undefined) return undefined
  if (command !== COMMANDS.local && command !== COMMANDS.proxy) return null
  if (bytes.length < FIXED_BYTES) return undefined
  const blockBytes = bytes.readUInt16BE(FIXED_BYTES - 2)
  const addressBytes = command === COMMANDS.local ? 0 : ADDRESS_BYTES.get(family!)
  if (addressBytes === undefined || blockBytes < addressBytes) return null
  if (blockBytes > BLOCK_BYTES_MAX) return null
  const headerBytes = FIXED_BYTES + blockBytes
  if (bytes.length < headerBytes) return undefined
  const block = bytes.subarray(FIXED_BYTES, FIXED_BYTES + addressBytes)
  return { headerBytes, client: clientIn(block) }
}

/** Of TCP over IPv4, over IPv6, and of what is left unsaid; of other families and transports there are no connections here. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [0x11, 12],
  [0x21, 36],
  [0x00, 0],
])

/** The block is two addresses and two ports, the client's first. */
function clientIn(block: Buffer): ClientAddress | null {
  if (block.length === 0) return null
  if (block.length === 12) {
    return clientOf(4, block.subarray(0, 4).join('.'), block.readUInt16BE(8))
  }
  const words = Array.from({ length: 8 }, (_, at) => block.readUInt16BE(2 * at).toString(16))
  return clientOf(6, words.join(':'), block.readUInt16BE(32))
}

/** The one short form of the address: logs and rules see the same, whichever version told it. */
function clientOf(version: 4 | 6, text: string, port: number): ClientAddress {
  const { address } = new SocketAddress({ address: text, family: `ipv${version}`, port })
  return { address, port, family: `IPv${version}` }
}
