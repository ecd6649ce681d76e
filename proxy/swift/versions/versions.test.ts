/** Versions: their names and ids, and the listing that is put together of two. */
import t from 'tap'
import type { ListEntry, ListRow } from '../../../common/storage-node.ts'
import { formatListed } from '../listed-traits.ts'
import { DELETE_MARKER_TYPE } from './find-version.ts'
import { withoutReserved } from './hidden-containers.ts'
import { mergeVersions, versionsQuery } from './version-listing.ts'
import {
  compareVersionIds,
  formatVersionId,
  parseVersionId,
  parseVersionName,
  RESERVED_END,
  type VersionId,
  versionName,
  versionsContainerOf,
} from './version-names.ts'
import { versionsOf } from './version-settings.ts'

const id = (ticks: number, rest = 0): VersionId => ({
  ticks,
  rest: rest.toString(16).padStart(16, '0'),
})

t.test('ids and names of versions: the newest comes first', async (t) => {
  const ids = [id(5), id(170_000_000_012_345, 0xa0b0c), id(170_000_000_012_345, 1), id(999_999_999)]
  for (const one of ids) {
    t.same(parseVersionId(formatVersionId(one)), one)
    const name = versionName('a/ö\0x', one)
    t.same(parseVersionName(name), { object: 'a/ö\0x', id: one })
  }
  t.equal(formatVersionId(ids[1]!), '1700000000.12345_00000000000a0b0c')
  t.equal(formatVersionId(id(5)), '0000000000.00005')
  t.same(parseVersionId('1700000000.1'), id(170_000_000_010_000))
  const names = [...ids].sort(compareVersionIds).map((one) => versionName('o', one))
  t.same([...names].sort().reverse(), names)
  for (const bad of ['', 'null', '1700000000.123456', '-1', '1_2', '1.1_000000000000000g']) {
    t.equal(parseVersionId(bad), null, bad)
  }
  for (const bad of ['o', '\0o', '\0o\x0a3', `\0o\0${'1'.repeat(36)}`]) {
    t.equal(parseVersionName(bad), null)
  }
})

t.test('how a container keeps versions', async (t) => {
  t.equal(versionsOf({ 'x-container-meta-a': '1' }), undefined)
  const container = encodeURIComponent(versionsContainerOf('c/ö'))
  const objects = { 'x-container-sysmeta-versions-container': container }
  t.match(versionsOf(objects), { kind: 'objects', enabled: false, container: '\0versions\0c/ö' })
  t.match(versionsOf({ ...objects, 'x-container-sysmeta-versions-enabled': 'True' }), {
    enabled: true,
  })
  const legacy = { 'x-container-sysmeta-versions-location': 'old%20ones' }
  t.same(versionsOf(legacy), { kind: 'legacy', mode: 'stack', location: 'old ones' })
  t.match(versionsOf({ ...legacy, 'x-container-sysmeta-versions-mode': 'history' }), {
    mode: 'history',
  })
})

t.test("reserved names are in nobody's listing", async (t) => {
  t.same(withoutReserved({ limit: 1 }), { limit: 1, marker: RESERVED_END })
  t.same(withoutReserved({ limit: 1, marker: '\0versions\0a' }), { limit: 1, marker: RESERVED_END })
  t.same(withoutReserved({ limit: 1, marker: 'b' }), { limit: 1, marker: 'b' })
  const reverse = { limit: 1, reverse: true, marker: 'z', endMarker: 'a' }
  t.same(withoutReserved(reverse), reverse)
  t.equal(withoutReserved({ limit: 1, reverse: true }).endMarker, RESERVED_END)
  t.ok(
    Buffer.compare(Buffer.from(versionsContainerOf('\u{10ffff}')), Buffer.from(RESERVED_END)) < 0,
  )
})

const row = (name: string, contentType = 'text/plain'): ListRow =>
  ({ name, contentType, bytes: 1, etag: 'e' }) as ListRow
const link = (name: string, one: VersionId) =>
  row(name, `text/plain\0${formatListed({ version_id: formatVersionId(one) })}`)
const version = (name: string, one: VersionId, contentType?: string) =>
  row(versionName(name, one), contentType)
const shown = (entries: ReturnType<typeof mergeVersions>) =>
  entries.map((entry) =>
    'subdir' in entry
      ? entry.subdir
      : `${entry.row.name}:${entry.version}${entry.isLatest ? '*' : ''}`,
  )

t.test('what is current and the versions beside it are one listing', async (t) => {
  const [v1, v2, v3] = [id(100_000), id(200_000), id(300_000)]
  const text = (one: VersionId) => formatVersionId(one)
  const current: ListEntry[] = [link('a', v2), row('b'), { subdir: 'd/' }]
  const versions: ListEntry[] = [
    version('a', v3),
    version('a', v2),
    version('b', v1),
    version('c', v2, DELETE_MARKER_TYPE),
    version('c', v1),
    { subdir: '\0e/' },
  ]
  const all = [
    `a:${text(v3)}`,
    `a:${text(v2)}*`,
    'b:null*',
    `b:${text(v1)}`,
    `c:${text(v2)}*`,
    `c:${text(v1)}`,
    'd/',
    'e/',
  ]
  const merge = (query: { limit: number; reverse?: boolean }, reversed = false) =>
    shown(
      mergeVersions(
        reversed
          ? { current: [...current].reverse(), versions: [...versions].reverse() }
          : { current, versions },
        query,
        null,
      ),
    )
  t.same(merge({ limit: 100 }), all)
  t.same(merge({ limit: 3 }), all.slice(0, 3))
  t.same(merge({ limit: 100, reverse: true }, true), [
    'e/',
    'd/',
    `c:${text(v1)}`,
    `c:${text(v2)}*`,
    'b:null*',
    `b:${text(v1)}`,
    `a:${text(v2)}*`,
    `a:${text(v3)}`,
  ])
  // A page that begins behind newer versions of its first name knows what that points to.
  const rest = { current: [], versions: [version('c', v1, DELETE_MARKER_TYPE)] }
  const within = { name: 'c', linked: undefined, hasBegun: true }
  t.same(shown(mergeVersions(rest, { limit: 9 }, within)), [`c:${text(v1)}`])
  t.same(shown(mergeVersions(rest, { limit: 9 }, null)), [`c:${text(v1)}*`])
})

t.test('markers of versions', async (t) => {
  const base = { limit: 10 }
  t.same(versionsQuery(base, undefined), { limit: 10, prefix: '\0' })
  t.same(versionsQuery({ ...base, prefix: 'p', marker: 'm', endMarker: 'z' }, undefined), {
    limit: 10,
    prefix: '\0p',
    marker: '\0m\0:',
    endMarker: '\0z',
  })
  t.equal(versionsQuery({ ...base, marker: 'm', reverse: true }, undefined).marker, '\0m\0')
  t.equal(versionsQuery({ ...base, marker: 'm' }, 'null').marker, '\0m\0')
  t.equal(
    versionsQuery({ ...base, marker: 'm' }, '0000000001.00000').marker,
    versionName('m', id(100_000)),
  )
  for (const [query, marker] of [
    [base, '0000000001.00000'],
    [{ ...base, marker: 'm' }, 'nonsense'],
    [{ ...base, delimiter: '1' }, undefined],
    [{ ...base, delimiter: '.' }, undefined],
  ] as const) {
    t.throws(() => versionsQuery(query, marker), { code: 'BadRequest' })
  }
})
