/** All versions of a bucket in their order, each with what the ones around it make of it. */
import { TICKS_PER_SECOND } from '../../../common/stamp.ts'
import type { ListRow } from '../../../common/storage-node.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import { parseVersionName } from '../../swift/versions/version-names.ts'
import { listVersionPage, type VersionLine } from '../bucket/version-page.ts'
import { listedTicks } from '../object/object-traits.ts'
import { classOfRow } from '../object/storage-class.ts'
import type { S3Call } from '../s3-call.ts'
import type { VersionFacts } from './lifecycle-steps.ts'

/** A version as the listing tells it: nobody has looked at its tags. */
export interface SweptVersion {
  readonly facts: VersionFacts
  /** Of what is not a plain object: `1792065600.00000_…`, also where S3 calls it `null`. */
  readonly id: { readonly ticks: number; readonly rest: string } | null
  readonly ticks: number
  /** Nothing more comes of this name. */
  readonly isLast: boolean
}

const PAGE_MAX = 1000

/** The versions of all names behind `after`. */
export async function* bucketVersions(
  call: S3Call,
  at: { readonly account: string; readonly container: string },
  after: string,
): AsyncGenerator<SweptVersion> {
  let before: Before = NOBODY
  let held: VersionLine | undefined
  for await (const line of bucketLines(call, at, { after, prefix: '' })) {
    if (held !== undefined) {
      const swept = sweptVersion(held, before, line.key !== held.key)
      yield swept
      before = followedBy(before, swept, line.key)
    }
    held = line
  }
  if (held !== undefined) yield sweptVersion(held, before, true)
}

/** What was seen of the same name before a version: its newer ones. */
interface Before {
  readonly versions: number
  readonly writtenMs: number | null
  /** Without markers. */
  readonly noncurrent: number
}

const NOBODY: Before = { versions: 0, writtenMs: null, noncurrent: 0 }

function sweptVersion(line: VersionLine, before: Before, isLast: boolean): SweptVersion {
  const { key, row, isMarker, isLatest } = line
  const id = parseVersionName(row.name)?.id ?? null
  const ticks = id?.ticks ?? listedTicks(row)
  const writtenMs = msOf(ticks)
  const facts: VersionFacts = {
    key,
    bytes: listedTraits(row).bytes,
    tags: null,
    isMarker,
    storageClass: listedClass(row),
    writtenMs,
    // Nobody knows since when the newest one is not current any more, if Swift's DELETE of a version has left it so: it stays.
    supersededMs: isLatest ? null : (before.writtenMs ?? Number.POSITIVE_INFINITY),
    newerNoncurrent: before.noncurrent,
    isAlone: isLast && before.versions === 0,
  }
  return { facts, id, ticks, isLast }
}

/** What a large object of Swift's or a link stands for lies elsewhere, and is others' as well. */
function listedClass(row: ListRow): string | null {
  const { slo_etag: slo, s3_etag: own, symlink_target: target } = listedTraits(row).listed
  const isOthers = (slo !== undefined && own === undefined) || target !== undefined
  return isOthers ? null : classOfRow(row)
}

function followedBy(before: Before, { facts }: SweptVersion, key: string): Before {
  if (facts.key !== key) return NOBODY
  const isCounted = facts.supersededMs !== null && !facts.isMarker
  return {
    versions: before.versions + 1,
    writtenMs: facts.writtenMs,
    noncurrent: before.noncurrent + (isCounted ? 1 : 0),
  }
}

/** The lines of all names behind `after` that begin so. */
export async function* bucketLines(
  call: S3Call,
  at: { readonly account: string; readonly container: string },
  { after, prefix }: { readonly after: string; readonly prefix: string },
): AsyncGenerator<VersionLine> {
  let [keyMarker, versionMarker] = [after, '']
  for (;;) {
    const query = { prefix, delimiter: '', limit: PAGE_MAX, keyMarker, versionMarker }
    const page = await listVersionPage(call, at, query)
    yield* page.lines
    if (page.next === undefined) return
    keyMarker = page.next.key
    versionMarker = page.next.version ?? ''
  }
}

function msOf(ticks: number): number {
  return (ticks / TICKS_PER_SECOND) * 1000
}
