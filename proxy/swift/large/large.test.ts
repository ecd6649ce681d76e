/** Large objects: manifests, and bodies put together from others. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { ServiceError } from '../../../common/errors.ts'
import { formatListed, listedTraits } from '../listed-traits.ts'
import { type BodyPart, SegmentedBody } from './segmented-body.ts'
import {
  decodeManifest,
  encodeManifest,
  matchSegment,
  parseManifest,
  rawManifest,
  type SegmentHead,
  type StoredSegment,
  segmentBytes,
  totalsOf,
} from './slo-manifest.ts'

const md5 = (text: string) => createHash('md5').update(text).digest('hex')
const parse = (manifest: unknown) =>
  parseManifest(Buffer.from(JSON.stringify(manifest)), 'c/manifest')

t.test('a manifest is read with its sizes, ranges and inline data', async (t) => {
  const segments = parse([
    { path: '/c/a', etag: null, size_bytes: '10' },
    { path: 'c/b', range: '-5' },
    { data: 'aGFsbG8' },
    { path: '/c/last', size_bytes: 0 },
  ])
  t.same(segments, [
    { path: '/c/a', bytes: 10 },
    { path: 'c/b', range: '-5' },
    { data: Buffer.from('hallo') },
    { path: '/c/last', bytes: 0 },
  ])
})

t.test('everything that is wrong with a manifest is told, by index', async (t) => {
  const cases: [item: unknown, message: string][] = [
    [7, 'not a JSON object'],
    [{ size_bytes: 1 }, "expected keys to include one of 'data' or 'path'"],
    [{ path: '/c/o', foo: 1, é: 2 }, 'extraneous keys "foo", "\\u00e9"'],
    [{ path: 5 }, '"path" must be a string'],
    [{ path: '/c/o', etag: 5 }, '"etag" must be a string or null (if provided)'],
    [
      { path: '/c/' },
      'path does not refer to an object. Path must be of the form /container/object.',
    ],
    [{ path: '/c/o', size_bytes: 'ten' }, 'invalid size_bytes'],
    [{ path: '/c/o', size_bytes: 0 }, 'too small; each segment must be at least 1 byte.'],
    [{ path: '//c/manifest' }, 'manifest must not include itself as a segment'],
    [{ path: '/c/o', range: 'x-y' }, 'invalid range'],
    [{ path: '/c/o', range: '0-1,3-4' }, 'multiple ranges (only one allowed)'],
    [{ path: '/c/o', range: '20-', size_bytes: 10 }, 'unsatisfiable range'],
    [{ data: '???' }, 'data must be valid base64'],
    [{ data: '' }, 'too small; each segment must be at least 1 byte.'],
  ]
  for (const [item, message] of cases) {
    try {
      parse([item, { path: '/c/last' }])
      t.fail(`accepted: ${JSON.stringify(item)}`)
    } catch (error) {
      t.equal((error as Error).message, `Index 0: ${message}\n`)
    }
  }
  for (const [text, message] of [
    ['{', 'Manifest must be valid JSON.\n'],
    ['{}', 'Manifest must be a list.\n'],
    ['[{"data": "YQ=="}]', 'Inline data segments require at least one object-backed segment.\n'],
    ['[1, 2]', 'Index 0: not a JSON object\nIndex 1: not a JSON object\n'],
  ] as const) {
    t.throws(() => parseManifest(Buffer.from(text), 'c/m'), { message, status: 400 }, text)
  }
})

const head: SegmentHead = {
  bytes: 10,
  etag: md5('0123456789'),
  contentType: 'text/plain',
  ticks: 150_000,
  isSlo: false,
}

t.test('segments are compared with what is there', async (t) => {
  const reasons = (wanted: object, isLast = false, found = head) =>
    matchSegment({ path: '/c/ö', ...wanted }, found, { isLast }).problems.map(([, why]) => why)
  t.same(reasons({ bytes: 10, etag: head.etag }), [])
  t.same(reasons({ bytes: 9, etag: 'x' }), ['Size Mismatch', 'Etag Mismatch'])
  t.same(reasons({ range: '10-' }), ['Unsatisfiable Range'])
  t.same(reasons({}, false, { ...head, bytes: 0 }), [
    'Too small; each segment must be at least 1 byte.',
  ])
  t.same(reasons({}, true, { ...head, bytes: 0 }), [], 'the last one may be empty')
  const { stored } = matchSegment({ path: 'c/ö', range: '-4' }, head, { isLast: false })
  t.same(stored, {
    name: '/c/ö',
    bytes: 10,
    hash: head.etag,
    content_type: 'text/plain',
    last_modified: '1970-01-01T00:00:02.000000',
    range: '6-9',
  })
  const whole = matchSegment({ path: '/c/o', range: '0-' }, head, { isLast: false })
  t.notOk('range' in whole.stored, 'a range of all of it is none')
})

t.test('length and ETag of the whole follow from the segments', async (t) => {
  const object = matchSegment({ path: '/c/o' }, head, { isLast: false }).stored
  const part = matchSegment({ path: '/c/o', range: '2-5' }, head, { isLast: false }).stored
  const segments: StoredSegment[] = [object, part, { data: 'aGFsbG8=' }]
  t.same(segments.map(segmentBytes), [10, 4, 5])
  t.same(totalsOf(segments), {
    bytes: 19,
    etag: md5(`${head.etag}${head.etag}:2-5;${md5('hallo')}`),
  })
  t.same(decodeManifest(encodeManifest(segments)), segments)
  t.same(parse(JSON.parse(rawManifest(segments).toString())), [
    { path: '/c/o', etag: head.etag, bytes: 10 },
    { path: '/c/o', etag: head.etag, bytes: 10, range: '2-5' },
    { data: Buffer.from('hallo') },
  ])
  t.throws(() => decodeManifest(Buffer.from('nonsense')), { code: 'BadManifest' })
})

interface Opened {
  readonly name: string
  closed: boolean
}

/** Parts of a few bytes each, and what was done with them. */
function partsOf(texts: readonly string[], failAt = -1) {
  const opened: Opened[] = []
  const parts = texts.map(
    (text, index): BodyPart => ({
      bytes: text.length,
      async open() {
        if (index === failAt) throw new ServiceError('BadSegment', text, { status: 409 })
        const own = { name: text, closed: false }
        opened.push(own)
        return {
          async *stream(start, end) {
            // Two pieces where there are two bytes.
            const middle = Math.ceil((start + end) / 2)
            if (middle > start) yield Buffer.from(text.slice(start, middle))
            if (end > middle) yield Buffer.from(text.slice(middle, end))
          },
          close: async () => {
            own.closed = true
          },
        }
      },
    }),
  )
  return { opened, body: new SegmentedBody(parts) }
}

async function read(body: SegmentedBody, start: number, end: number): Promise<string> {
  let text = ''
  for await (const piece of body.stream(start, end)) text += Buffer.from(piece).toString()
  return text
}

t.test(
  'every range of the whole is read from the parts that it touches, and no others',
  async (t) => {
    const texts = ['abc', '', 'd', 'efghij', 'kl']
    const whole = texts.join('')
    for (let start = 0; start <= whole.length; start++) {
      for (let end = start; end <= whole.length; end++) {
        const { body, opened } = partsOf(texts)
        t.equal(body.bytes, whole.length)
        await body.prepare({ start, end })
        t.equal(await read(body, start, end), whole.slice(start, end), `${start}-${end}`)
        await body.close()
        t.ok(
          opened.every((part) => part.closed),
          'all closed',
        )
        let at = 0
        const touched = texts.filter((text) => {
          const from = at
          at += text.length
          return text !== '' && start < end && from < end && at > start
        })
        t.same(
          opened.map(({ name }) => name),
          touched,
        )
      }
    }
  },
)

t.test('the next part is opened while one is read, and not the one behind it', async (t) => {
  const { body, opened } = partsOf(['ab', 'cd', 'ef'])
  const pieces = body.stream(0, 6)
  await pieces.next()
  t.same(
    opened.map(({ name }) => name),
    ['ab', 'cd'],
  )
  await pieces.return(undefined)
  t.ok(
    opened.every((part) => part.closed),
    'a reader that leaves closes both',
  )
})

t.test(
  'a part that cannot be opened is told before the first byte, or ends the reading',
  async (t) => {
    const first = partsOf(['ab', 'cd'], 0)
    await t.rejects(first.body.prepare({ start: 0, end: 4 }), { code: 'BadSegment' })
    const later = partsOf(['ab', 'cd'], 1)
    await later.body.prepare({ start: 0, end: 4 })
    await t.rejects(read(later.body, 0, 4), { code: 'BadSegment' })
    t.ok(later.opened.every((part) => part.closed))
  },
)

t.test('what a row says besides its columns', async (t) => {
  const row = { bytes: 7, contentType: 'text/plain' }
  const traits = (more: object) => listedTraits({ ...row, ...more } as never)
  t.same(traits({}), { ...row, listed: {} })
  const text = formatListed({ bytes: '1000', slo_etag: 'abc', symlink_target: undefined })
  t.same(traits({ contentType: `text/plain;charset=utf-8\0${text}` }), {
    bytes: 1000,
    contentType: 'text/plain;charset=utf-8',
    listed: { bytes: '1000', slo_etag: 'abc' },
  })
})
