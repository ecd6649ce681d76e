/** The objects' own metadata, where a report says more of them than a listing knows. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { Pace } from '../../backend/pace.ts'
import { parseVersionName, versionsContainerOf } from '../../swift/versions/version-names.ts'
import type { VersionLine } from '../bucket/version-page.ts'
import { listedTicks } from '../object/object-traits.ts'
import type { S3Call } from '../s3-call.ts'
import type { InventoriedVersion } from './inventory-columns.ts'

/** Looks a second, of one report: a million objects take a quarter of an hour. */
const LOOKS_PER_SECOND = 1_000
const LOOKS_AT_ONCE = 16

/** The versions of these lines with their metadata, in their order, without those that are not any more what the listing says. */
export async function* withHeads(
  call: S3Call,
  at: { readonly account: string; readonly bucket: string },
  lines: AsyncIterable<VersionLine>,
): AsyncGenerator<InventoriedVersion> {
  const pace = new Pace(call.exchange.proxy.clock, { perSecond: LOOKS_PER_SECOND })
  const look = async (line: VersionLine) => {
    await pace.take()
    return { line, head: await headOf(call, at, line) }
  }
  let waiting: VersionLine[] = []
  for await (const line of lines) {
    waiting.push(line)
    if (waiting.length < LOOKS_AT_ONCE) continue
    yield* (await Promise.all(waiting.map(look))).filter(isThere)
    waiting = []
  }
  yield* (await Promise.all(waiting.map(look))).filter(isThere)
}

function isThere({ head }: InventoriedVersion): boolean {
  return head !== null
}

async function headOf(
  call: S3Call,
  { account, bucket }: { readonly account: string; readonly bucket: string },
  { row }: VersionLine,
): Promise<ItemInfo | null> {
  const { backend } = call.exchange.proxy
  const isBeside = parseVersionName(row.name) !== null
  const container = isBeside ? versionsContainerOf(bucket) : bucket
  const place = { account, container, object: row.name, policy: row.policy }
  const read = await backend.readObject(place, { head: true })
  if (read === null) return null
  // Of a name that is written at this moment, one line would tell half of the old object and half of the new one.
  const isSame = isBeside || read.info.stamp.ticks === listedTicks(row)
  return isSame ? read.info : null
}
