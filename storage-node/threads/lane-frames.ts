/**
 * The messages that each write of an object takes, as frames of a lane: the write and its answer, the row and its, and
 * the two confirmations. All else goes through the port, and an empty frame keeps its place in the order.
 *
 *   frame          doubles                                                words                               then
 *   write          id, ticks of stamp and ballot, epoch                   shard, proposers of both, policy,   hash,
 *                                                                         placement, lengths of device,       text,
 *                                                                         name, write id, etag, type,         body
 *                                                                         headers; bytes of body and text
 *   row            id, ticks of stamp, metaStamp, ballot and settings,    shard, proposers of all four,       hash,
 *                  bytes, count, epoch                                    flags, policy, the list's policy    text
 *                                                                         and placement, lengths of device,
 *                                                                         list, name, etag, type; bytes of text
 *   confirm-item   ticks of ballot, epoch                                 shard, proposer, policy, placement, hash,
 *   confirm-row                                                           lengths of device, item or list,    text
 *                                                                         name; bytes of text
 *   written        id                                                     1 if there was one before
 *   rowed          id                                                     number of the status
 *
 * Text is UTF-8, all of a frame in one piece, its lengths in UTF-16 units. What is absent is ABSENT as a length and -1 as
 * a double.
 */
import type { ItemKey } from '../../common/item.ts'
import { Slab } from '../../common/slab.ts'
import type { Stamp } from '../../common/stamp.ts'
import type { ItemMeta, ItemWrite, ListRow, RowOutcome } from '../../common/storage-node.ts'
import { type BodyPlace, NO_BODY } from '../engine/register.ts'
import { FRAME_BYTES_MAX, type LaneReader, type LaneWriter } from './lane.ts'
import type { ThreadMessage } from './messages.ts'

const KINDS = {
  port: 1,
  write: 2,
  row: 3,
  confirmItem: 4,
  confirmRow: 5,
  written: 6,
  rowed: 7,
} as const

const WRITE = { doubles: 4, words: 13 } as const
const ROW = { doubles: 8, words: 14 } as const
const CONFIRM = { doubles: 2, words: 8 } as const
const ANSWER_BYTES = 12
const HASH_BYTES = 16
const ABSENT = 0xffff_ffff
const FLAGS = { deleted: 1, confirmed: 2 } as const
const ROW_STATUSES = ['done', 'superseded', 'not-found', 'stale-settings'] as const

/** `full`: again, when the other side has read. `unfit`: not of a form that a lane takes. */
export type Put = 'put' | 'full' | 'unfit'

type Call = ThreadMessage & { readonly kind: 'call' }
type Note = ThreadMessage & { readonly kind: 'note' }

/** Writes the message into the lane if it is one of those that a lane takes. */
export function putFrame(lane: LaneWriter, message: ThreadMessage): Put {
  switch (message.kind) {
    case 'call':
      if (message.method === 'write') return putWrite(lane, message)
      return message.method === 'putRow' ? putRow(lane, message) : 'unfit'
    case 'note':
      return message.method === 'confirmItem'
        ? putConfirmItem(lane, message)
        : putConfirmRow(lane, message)
    case 'written':
      return putAnswer(lane, KINDS.written, message.id, message.existed ? 1 : 0)
    case 'rowed':
      return putAnswer(lane, KINDS.rowed, message.id, ROW_STATUSES.indexOf(message.status))
    default:
      return 'unfit'
  }
}

/** The place of a message that comes through the port. */
export function putPortFrame(lane: LaneWriter): Put {
  if (lane.reserve(0) < 0) return 'full'
  lane.publish(KINDS.port, 0)
  return 'put'
}

function putWrite(lane: LaneWriter, call: Call): Put {
  const [write, body] = call.args as readonly [ItemWrite, BodyPlace]
  if (!isPlain(write) || body.kind === 'blob') return 'unfit'
  const { item, stamp, ballot, writeId, meta } = write
  const { etag = '', contentType = '' } = meta
  const headers = headersText(meta.headers)
  const text = call.device + item.name + writeId + etag + contentType + headers
  const bodyBytes = body.kind === 'none' ? 0 : body.data.length
  const at = reserve(lane, WRITE, text, bodyBytes)
  if (at < 0) return at === -1 ? 'full' : 'unfit'
  const { doubles, words, bytes } = lane
  let d = at >> 3
  doubles[d++] = call.id
  doubles[d++] = stamp.ticks
  doubles[d++] = ballot.ticks
  doubles[d++] = item.epoch ?? -1
  let w = d << 1
  words[w++] = call.shard
  words[w++] = stamp.proposer
  words[w++] = ballot.proposer
  words[w++] = item.policy
  words[w++] = item.placement
  words[w++] = call.device.length
  words[w++] = item.name.length
  words[w++] = writeId.length
  words[w++] = meta.etag === undefined ? ABSENT : etag.length
  words[w++] = meta.contentType === undefined ? ABSENT : contentType.length
  words[w++] = headers.length
  words[w++] = body.kind === 'none' ? ABSENT : bodyBytes
  const end = putText(lane, w, item.hash, text)
  if (end < 0) return 'unfit'
  if (body.kind === 'inline') bytes.set(body.data, end)
  lane.publish(KINDS.write, end + bodyBytes - at)
  return 'put'
}

function takeWrite(lane: LaneReader, at: number, slab: Slab): ThreadMessage {
  const { doubles, words, bytes } = lane
  let d = at >> 3
  const id = doubles[d++]!
  const stampTicks = doubles[d++]!
  const ballotTicks = doubles[d++]!
  const epoch = doubles[d++]!
  let w = d << 1
  const shard = words[w++]!
  const stamp = { ticks: stampTicks, proposer: words[w++]! }
  const ballot = { ticks: ballotTicks, proposer: words[w++]! }
  const policy = words[w++]!
  const placement = words[w++]!
  const lengths = w
  w += 6
  const bodyBytes = words[w++]!
  const text = new FrameText(lane, w, lengths)
  const device = text.next()
  const name = text.next()
  const item = itemOf('object', { name, hash: text.hash, placement, policy }, epoch)
  const writeId = text.next()
  const meta = metaOf(text.nextOrAbsent(), text.nextOrAbsent(), text.next())
  const write: ItemWrite = { item, action: 'put', stamp, ballot, writeId, meta }
  const body: BodyPlace =
    bodyBytes === ABSENT ? NO_BODY : { kind: 'inline', data: slab.take(bodyBytes) }
  if (body.kind === 'inline') bytes.copy(body.data, 0, text.end, text.end + bodyBytes)
  return { kind: 'call', id, device, shard, method: 'write', args: [write, body] }
}

/** A put whatever is there, of an object: of a condition, an accept or a copy there is more to say. */
function isPlain(write: ItemWrite): boolean {
  return (
    write.action === 'put' &&
    write.item.kind === 'object' &&
    write.condition === undefined &&
    write.openExpired === undefined &&
    write.record === undefined &&
    write.rewrite === undefined &&
    write.copy === undefined
  )
}

function putRow(lane: LaneWriter, call: Call): Put {
  const [list, row, settings] = call.args as readonly [ItemKey, ListRow, Stamp | undefined]
  if (list.kind !== 'container') return 'unfit'
  const text = call.device + list.name + row.name + row.etag + row.contentType
  const at = reserve(lane, ROW, text, 0)
  if (at < 0) return at === -1 ? 'full' : 'unfit'
  const { doubles, words } = lane
  let d = at >> 3
  doubles[d++] = call.id
  doubles[d++] = row.stamp.ticks
  doubles[d++] = row.metaStamp.ticks
  doubles[d++] = row.ballot.ticks
  doubles[d++] = settings?.ticks ?? -1
  doubles[d++] = row.bytes
  doubles[d++] = row.count
  doubles[d++] = list.epoch ?? -1
  let w = d << 1
  words[w++] = call.shard
  words[w++] = row.stamp.proposer
  words[w++] = row.metaStamp.proposer
  words[w++] = row.ballot.proposer
  words[w++] = settings?.proposer ?? 0
  words[w++] = (row.deleted ? FLAGS.deleted : 0) | (row.confirmed ? FLAGS.confirmed : 0)
  words[w++] = row.policy
  words[w++] = list.policy
  words[w++] = list.placement
  words[w++] = call.device.length
  words[w++] = list.name.length
  words[w++] = row.name.length
  words[w++] = row.etag.length
  // The content type is the rest.
  const end = putText(lane, w, list.hash, text)
  if (end < 0) return 'unfit'
  lane.publish(KINDS.row, end - at)
  return 'put'
}

function takeRow(lane: LaneReader, at: number): ThreadMessage {
  const { doubles, words } = lane
  let d = at >> 3
  const id = doubles[d++]!
  let w = (d + ROW.doubles - 1) << 1
  const shard = words[w++]!
  const stamp = { ticks: doubles[d++]!, proposer: words[w++]! }
  const metaStamp = { ticks: doubles[d++]!, proposer: words[w++]! }
  const ballot = { ticks: doubles[d++]!, proposer: words[w++]! }
  const settings = { ticks: doubles[d++]!, proposer: words[w++]! }
  const bytes = doubles[d++]!
  const count = doubles[d++]!
  const epoch = doubles[d++]!
  const flags = words[w++]!
  const policy = words[w++]!
  const listPolicy = words[w++]!
  const placement = words[w++]!
  const text = new FrameText(lane, w + 4, w)
  const device = text.next()
  const of = { name: text.next(), hash: text.hash, placement, policy: listPolicy }
  const list = itemOf('container', of, epoch)
  const row: ListRow = {
    name: text.next(),
    stamp,
    metaStamp,
    ballot,
    deleted: (flags & FLAGS.deleted) !== 0,
    bytes,
    count,
    etag: text.next(),
    contentType: text.rest(),
    policy,
    confirmed: (flags & FLAGS.confirmed) !== 0,
  }
  const args = [list, row, settings.ticks < 0 ? undefined : settings]
  return { kind: 'call', id, device, shard, method: 'putRow', args }
}

function putConfirmItem(lane: LaneWriter, note: Note): Put {
  const [item, ballot] = note.args as readonly [ItemKey, Stamp]
  return item.kind === 'object'
    ? putConfirm(lane, KINDS.confirmItem, { note, item, name: '', ballot })
    : 'unfit'
}

function putConfirmRow(lane: LaneWriter, note: Note): Put {
  const [item, name, ballot] = note.args as readonly [ItemKey, string, Stamp]
  return item.kind === 'container'
    ? putConfirm(lane, KINDS.confirmRow, { note, item, name, ballot })
    : 'unfit'
}

function putConfirm(
  lane: LaneWriter,
  kind: number,
  of: {
    readonly note: Note
    readonly item: ItemKey
    readonly name: string
    readonly ballot: Stamp
  },
): Put {
  const { note, item, name, ballot } = of
  const text = note.device + item.name + name
  const at = reserve(lane, CONFIRM, text, 0)
  if (at < 0) return at === -1 ? 'full' : 'unfit'
  const { doubles, words } = lane
  let d = at >> 3
  doubles[d++] = ballot.ticks
  doubles[d++] = item.epoch ?? -1
  let w = d << 1
  words[w++] = note.shard
  words[w++] = ballot.proposer
  words[w++] = item.policy
  words[w++] = item.placement
  words[w++] = note.device.length
  words[w++] = item.name.length
  const end = putText(lane, w, item.hash, text)
  if (end < 0) return 'unfit'
  lane.publish(kind, end - at)
  return 'put'
}

function takeConfirm(lane: LaneReader, kind: number, at: number): ThreadMessage {
  const { doubles, words } = lane
  let d = at >> 3
  const ticks = doubles[d++]!
  const epoch = doubles[d++]!
  let w = d << 1
  const shard = words[w++]!
  const ballot = { ticks, proposer: words[w++]! }
  const policy = words[w++]!
  const placement = words[w++]!
  const text = new FrameText(lane, w + 2, w)
  const device = text.next()
  const of = { name: text.next(), hash: text.hash, placement, policy }
  if (kind === KINDS.confirmItem) {
    const args = [itemOf('object', of, epoch), ballot]
    return { kind: 'note', device, shard, method: 'confirmItem', args }
  }
  const args = [itemOf('container', of, epoch), text.rest(), ballot]
  return { kind: 'note', device, shard, method: 'confirmRow', args }
}

function putAnswer(lane: LaneWriter, kind: number, id: number, word: number): Put {
  const at = lane.reserve(ANSWER_BYTES)
  if (at < 0) return 'full'
  lane.doubles[at >> 3] = id
  lane.words[(at >> 2) + 2] = word
  lane.publish(kind, ANSWER_BYTES)
  return 'put'
}

/** Room for a frame: -1 if there is none now, -2 if the frame is none for a lane. */
function reserve(
  lane: LaneWriter,
  { doubles, words }: { readonly doubles: number; readonly words: number },
  text: string,
  bodyBytes: number,
): number {
  const bytes = doubles * 8 + words * 4 + HASH_BYTES + text.length * 3 + bodyBytes
  return bytes > FRAME_BYTES_MAX ? -2 : lane.reserve(bytes)
}

/** Half of a character, which no UTF-8 has: it would arrive as another one. */
const LONE_SURROGATE = /\p{Surrogate}/u

/** Writes the number of the text's bytes, the hash and the text from word `w` on; returns where they end, -1: unfit. */
function putText(lane: LaneWriter, w: number, hash: string, text: string): number {
  const { bytes, words } = lane
  const at = (w + 1) << 2
  bytes.write(hash, at, HASH_BYTES, 'latin1')
  const written = bytes.write(text, at + HASH_BYTES, 'utf8')
  words[w] = written
  const isAscii = written === text.length
  return isAscii || !LONE_SURROGATE.test(text) ? at + HASH_BYTES + written : -1
}

/** The texts of a frame, in their order. */
class FrameText {
  readonly hash: string
  /** Where the text ends. */
  readonly end: number
  readonly #words: Uint32Array
  readonly #text: string
  #length: number
  #from = 0

  /** `w` is the word that says how many bytes there are, `lengths` the first of their lengths. */
  constructor({ bytes, words }: LaneReader, w: number, lengths: number) {
    const at = (w + 1) << 2
    this.#words = words
    this.#length = lengths
    this.end = at + HASH_BYTES + words[w]!
    this.hash = bytes.toString('latin1', at, at + HASH_BYTES)
    this.#text = bytes.toString('utf8', at + HASH_BYTES, this.end)
  }

  next(): string {
    const from = this.#from
    this.#from += this.#words[this.#length++]!
    return this.#text.slice(from, this.#from)
  }

  nextOrAbsent(): string | undefined {
    if (this.#words[this.#length] !== ABSENT) return this.next()
    this.#length++
    return undefined
  }

  rest(): string {
    return this.#text.slice(this.#from)
  }
}

function itemOf(kind: ItemKey['kind'], of: Omit<ItemKey, 'kind'>, epoch: number): ItemKey {
  const { name, hash, placement, policy } = of
  return epoch < 0
    ? { kind, name, hash, placement, policy }
    : { kind, name, hash, placement, policy, epoch }
}

const NO_HEADERS: ItemMeta['headers'] = Object.freeze({})

function headersText(headers: ItemMeta['headers']): string {
  for (const _name in headers) return JSON.stringify(headers)
  return ''
}

function metaOf(
  etag: string | undefined,
  contentType: string | undefined,
  headersJson: string,
): ItemMeta {
  const headers = headersJson === '' ? NO_HEADERS : (JSON.parse(headersJson) as ItemMeta['headers'])
  if (etag === undefined) return contentType === undefined ? { headers } : { contentType, headers }
  return contentType === undefined ? { etag, headers } : { etag, contentType, headers }
}

/** Reads the frames of a lane. */
export class FrameReader {
  readonly #lane: LaneReader
  readonly #slab = new Slab()

  constructor(lane: LaneReader) {
    this.#lane = lane
  }

  /** The message of a frame; null: it comes through the port. */
  read(kind: number, at: number): ThreadMessage | null {
    const { doubles, words } = this.#lane
    switch (kind) {
      case KINDS.port:
        return null
      case KINDS.write:
        return takeWrite(this.#lane, at, this.#slab)
      case KINDS.row:
        return takeRow(this.#lane, at)
      case KINDS.written:
        return { kind: 'written', id: doubles[at >> 3]!, existed: words[(at >> 2) + 2] === 1 }
      case KINDS.rowed: {
        const status = ROW_STATUSES[words[(at >> 2) + 2]!] as RowOutcome['status']
        return { kind: 'rowed', id: doubles[at >> 3]!, status }
      }
      default:
        return takeConfirm(this.#lane, kind, at)
    }
  }
}
