/** RenameObject over a real socket: what goes along, who may, and what is left when something dies in the middle. */
import { createHash } from 'node:crypto'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  RenameObjectCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { GUEST, OTHER, openS3Rig, putInParts, type SignedRequest } from './s3-store.ts'

const BUCKET = 'rename'
const { store, s3, swift, signed } = await openS3Rig(t)
await s3.send(new CreateBucketCommand({ Bucket: BUCKET }))
/** Deletions of these names fail, as if the store died there. */
const stuck = new Set<string>()
/** What others do just before a name is written, or deleted. */
const before = new Map<string, () => Promise<unknown>>()
/** What others do as soon as a name is gone. */
const afterwards = new Map<string, () => Promise<unknown>>()
const { backend } = store.context
const { deleteObject, putObject } = backend

async function others(object: string): Promise<void> {
  const act = before.get(object)
  before.delete(object)
  await act?.()
}

Object.assign(backend, {
  async putObject(...given: Parameters<typeof putObject>) {
    await others(given[0].object)
    return putObject.apply(backend, given)
  },
  async deleteObject(...given: Parameters<typeof deleteObject>) {
    const { object } = given[0]
    await others(object)
    if (stuck.delete(object)) throw new Error('died')
    const deleted = await deleteObject.apply(backend, given)
    await afterwards.get(object)?.()
    return deleted
  },
})

function rename(from: string, to: string, more: Partial<SignedRequest> = {}) {
  const headers = { 'x-amz-rename-source': from, ...more.headers }
  return signed({ ...more, method: 'PUT', path: `/${BUCKET}/${to}?renameObject`, headers })
}

async function outcome(from: string, to: string, more?: Partial<SignedRequest>): Promise<string> {
  const { status, code } = await rename(from, to, more)
  return `${status} ${code}`.trim()
}

async function put(Key: string, Body: string, more = {}) {
  return (await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body, ...more }))).ETag
}

async function read(Key: string): Promise<string> {
  try {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key }))
    return await Body!.transformToString()
  } catch (error) {
    return (error as Error).name
  }
}

async function names(): Promise<readonly string[]> {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
  return Contents.map(({ Key }) => Key!)
}

async function putTwoParts(Key: string): Promise<string> {
  const bodies = ['x'.repeat(5 * 1024 * 1024), 'the end']
  await putInParts(s3, { Bucket: BUCKET, Key }, bodies)
  return bodies.join('')
}

/** Parts that are there for good. */
async function keptParts(): Promise<number> {
  const list = await swift('GET', `/${BUCKET}+segments?format=json`)
  let kept = 0
  for (const { name } of (await list.json()) as { readonly name: string }[]) {
    const head = await swift('HEAD', `/${BUCKET}+segments/${encodeURIComponent(name)}`)
    if (head.headers.get('x-delete-at') === null) kept++
  }
  return kept
}

t.test('an object goes with all that it has', async (t) => {
  const ETag = await put('old ä', 'hello', {
    Metadata: { color: 'blue' },
    ContentType: 'text/x-special',
    Tagging: 'a=b',
    CacheControl: 'no-store',
  })
  t.equal(await outcome('old%20%C3%A4', 'new'), '200')
  t.equal(await read('old ä'), 'NoSuchKey')
  const got = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'new' }))
  t.match(got, { ETag, Metadata: { color: 'blue' }, ContentType: 'text/x-special' })
  t.match(got, { CacheControl: 'no-store', TagCount: 1 })
  t.equal(await got.Body!.transformToString(), 'hello')
  const { TagSet } = await s3.send(new GetObjectTaggingCommand({ Bucket: BUCKET, Key: 'new' }))
  t.strictSame(TagSet, [{ Key: 'a', Value: 'b' }])
  t.strictSame(await names(), ['new'])
  const seen = await swift('HEAD', `/${BUCKET}/new`)
  t.equal(seen.headers.get('x-object-meta-color'), 'blue', 'and so for Swift')
  t.equal(await outcome(`/${BUCKET}/new`, 'back'), '200', 'the bucket before the key')
  await s3.send(new RenameObjectCommand({ Bucket: BUCKET, Key: 'new', RenameSource: 'back' }))
  t.strictSame(await names(), ['new'])
})

t.test('an object in parts goes without its bytes, and keeps them', async (t) => {
  const body = await putTwoParts('parts')
  t.equal(await outcome('parts', 'moved'), '200')
  t.equal(await read('moved'), body)
  t.equal(await read('parts'), 'NoSuchKey')
  t.equal(await keptParts(), 2)
  t.equal(await outcome('moved', 'new'), '200', 'over another')
  t.equal(await read('new'), body)
  await put('plain', 'short')
  t.equal(await outcome('plain', 'new'), '200')
  t.equal(await read('new'), 'short')
  t.equal(await keptParts(), 0, 'what was replaced lets its parts go')
})

t.test('an object under a client’s key goes without that key', async (t) => {
  const key = Buffer.alloc(32, 7)
  const md5 = createHash('md5').update(key).digest('base64')
  const sse = {
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: key.toString('base64'),
    SSECustomerKeyMD5: md5,
  }
  await put('secret', 'hidden', sse)
  t.equal(await outcome('secret', 'sealed'), '200')
  const got = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'sealed', ...sse }))
  t.equal(await got.Body!.transformToString(), 'hidden')
})

t.test('conditions on both names', async (t) => {
  const etag = (await put('source', 'one'))!
  const other = (await put('target', 'two'))!
  const failed = '412 PreconditionFailed'
  t.equal(await outcome('source', 'target', { headers: { 'if-none-match': '*' } }), failed)
  t.equal(await outcome('source', 'target', { headers: { 'if-match': etag } }), failed)
  const source = (name: string, value: string) => ({
    headers: { [`x-amz-rename-source-if-${name}`]: value },
  })
  t.equal(await outcome('source', 'target', source('match', other)), failed)
  t.equal(await outcome('source', 'target', source('none-match', etag)), failed)
  const past = new Date(0).toUTCString()
  t.equal(await outcome('source', 'target', source('unmodified-since', past)), failed)
  const unmodified = { headers: { 'if-unmodified-since': past } }
  t.equal(await outcome('source', 'target', unmodified), failed)
  t.equal(await read('source'), 'one', 'nothing was done')
  t.equal(await read('target'), 'two')
  const good = { 'if-match': other, 'x-amz-rename-source-if-match': etag }
  t.equal(await outcome('source', 'target', { headers: good }), '200')
  t.equal(await read('target'), 'one')
})

t.test('what cannot be renamed says why', async (t) => {
  await put('here', 'x')
  t.equal(await outcome('nothing', 'there'), '404 NoSuchKey')
  t.equal(await outcome('here', 'here'), '400 InvalidArgument')
  t.equal(await outcome('', 'there'), '400 InvalidArgument')
  t.equal(await outcome('%ff', 'there'), '400 InvalidArgument')
  t.equal(await outcome('k'.repeat(1025), 'there'), '400 KeyTooLongError')
  const bad = { headers: { 'x-amz-client-token': 'two words' } }
  t.equal(await outcome('here', 'there', bad), '400 InvalidArgument')
  t.equal(await outcome('here', 'there', { key: null }), '403 AccessDenied')
  t.equal(await outcome('here', 'there', { key: OTHER }), '403 AccessDenied')
  t.equal(await outcome('here', 'there', { key: GUEST }), '403 AccessDenied')
  const behind = { headers: {}, unsigned: { 'x-amz-rename-source': 'here' } }
  const unsigned = await signed({ ...behind, method: 'PUT', path: `/${BUCKET}/there?renameObject` })
  t.equal(unsigned.status, 403, 'a source that was not signed')
  t.equal(await read('here'), 'x')
  t.equal(await read('there'), 'NoSuchKey')
  const versioned = { Bucket: 'rename-versions' }
  await s3.send(new CreateBucketCommand(versioned))
  const VersioningConfiguration = { Status: 'Enabled' as const }
  await s3.send(new PutBucketVersioningCommand({ ...versioned, VersioningConfiguration }))
  await s3.send(new PutObjectCommand({ ...versioned, Key: 'here', Body: 'x' }))
  const refused = await signed({
    method: 'PUT',
    path: '/rename-versions/there?renameObject',
    headers: { 'x-amz-rename-source': 'here' },
  })
  t.match(refused, { status: 409, code: 'InvalidBucketState' })
})

t.test('of ten who rename one object one does', async (t) => {
  for (let round = 0; round < 10; round++) {
    await put('wanted', `${round}`)
    const targets = Array.from({ length: 10 }, (_, index) => `won-${index}`)
    const seen = await Promise.all(targets.map((target) => outcome('wanted', target)))
    const winners = targets.filter((_, index) => seen[index] === '200')
    t.equal(winners.length, 1, `${seen}`)
    t.ok(
      seen.every((one) => /^(?:200|404 NoSuchKey|409 OperationAborted)$/.test(one)),
      `${seen}`,
    )
    t.equal(await read(winners[0]!), `${round}`)
    t.equal(await read('wanted'), 'NoSuchKey')
  }
})

t.test('what died in the middle leaves both names, and comes to its end again', async (t) => {
  const token = { headers: { 'x-amz-client-token': 'token-1', 'if-none-match': '*' } }
  const body = await putTwoParts('dying')
  stuck.add('dying')
  t.equal((await rename('dying', 'living', token)).status, 500)
  t.equal(await read('dying'), body, 'both have it')
  t.equal(await read('living'), body)
  t.equal(await outcome('dying', 'elsewhere'), '409 OperationAborted', 'it is claimed')
  const other = { headers: { ...token.headers, 'x-amz-rename-source': 'other' } }
  await put('other', 'x')
  t.equal(await outcome('other', 'living', other), '400 IdempotencyParameterMismatch')
  t.equal(await outcome('dying', 'living', token), '200', 'the same again')
  t.equal(await read('living'), body)
  t.equal(await read('dying'), 'NoSuchKey')
  t.equal(await outcome('dying', 'living', token), '200', 'and once more: it is done')
  t.equal(await keptParts(), 2)
})

t.test('a duplicate that a crash has left can be deleted without harm to the other', async (t) => {
  const body = await putTwoParts('first')
  stuck.add('first')
  t.equal((await rename('first', 'second')).status, 500)
  t.equal((await signed({ method: 'DELETE', path: `/${BUCKET}/second` })).status, 204)
  t.equal(await read('first'), body)
  const before = await keptParts()
  const again = { headers: { 'x-amz-client-token': 'token-2' } }
  t.equal((await rename('first', 'second', again)).status, 409, 'claimed by who died')
  t.equal((await signed({ method: 'DELETE', path: `/${BUCKET}/first` })).status, 204)
  t.equal(await keptParts(), before, 'parts that two may have had stay')
})

t.test(
  'what a renaming that died has left is renamed on, and nothing takes the parts of the other along',
  async (t) => {
    const body = await putTwoParts('left')
    stuck.add('left')
    t.equal((await rename('left', 'left-copy')).status, 500)
    t.equal(await outcome('left-copy', 'left-third'), '200')
    const before = await keptParts()
    t.equal((await signed({ method: 'DELETE', path: `/${BUCKET}/left-third` })).status, 204)
    t.equal(await keptParts(), before)
    t.equal(await read('left'), body)
  },
)

t.test('nothing is appended to what is being renamed', async (t) => {
  await put('growing', 'g'.repeat(100_000))
  stuck.add('growing')
  t.equal((await rename('growing', 'grown')).status, 500)
  const headers = { 'x-amz-write-offset-bytes': '100000' }
  const append = { method: 'PUT', headers, body: 'more' }
  t.match(await signed({ ...append, path: `/${BUCKET}/growing` }), { code: 'OperationAborted' })
  t.equal((await signed({ ...append, path: `/${BUCKET}/grown` })).status, 200)
})

t.test('a renaming that has not begun leaves no mark', async (t) => {
  await putTwoParts('unmoved')
  const { readObject } = backend
  let isOver = false
  Object.assign(backend, {
    readObject: (...given: Parameters<typeof readObject>) => {
      // The look at what is to be replaced.
      if (!isOver && given[0].object === 'never' && given[1]?.head === true) {
        isOver = true
        throw Object.assign(new Error('busy'), { status: 503 })
      }
      return readObject.apply(backend, given)
    },
  })
  t.not((await rename('unmoved', 'never')).status, 200)
  Object.assign(backend, { readObject })
  t.ok(isOver)
  t.equal(await outcome('unmoved', 'moved-at-last'), '200', 'nobody has claimed it')
  const before = await keptParts()
  t.equal((await signed({ method: 'DELETE', path: `/${BUCKET}/moved-at-last` })).status, 204)
  t.equal(await keptParts(), before - 2, 'its parts were its own')
})

t.test('an object that is tagged as it is renamed owns its parts all the same', async (t) => {
  await putTwoParts('untagged')
  const tags = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>'
  let status = 0
  afterwards.set('untagged', async () => {
    const asked = { method: 'PUT', path: `/${BUCKET}/tagged?tagging`, body: tags }
    status = (await signed(asked)).status
  })
  t.equal(await outcome('untagged', 'tagged'), '200')
  t.equal(status, 200)
  t.match((await signed({ path: `/${BUCKET}/tagged?tagging` })).body, '<Key>a</Key>')
  const before = await keptParts()
  t.equal((await signed({ method: 'DELETE', path: `/${BUCKET}/tagged` })).status, 204)
  t.equal(await keptParts(), before - 2)
})

t.test('who writes or deletes a name as it is renamed takes no parts along', async (t) => {
  const kept = await keptParts()
  const changes: readonly (readonly [string, (key: string) => Promise<unknown>])[] = [
    ['S3’s PUT', (key) => put(key, 'new')],
    ['S3’s DELETE', (key) => s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: key }))],
    ['Swift’s PUT', (key) => swift('PUT', `/${BUCKET}/${key}`, { body: 'new' })],
    ['Swift’s DELETE', (key) => swift('DELETE', `/${BUCKET}/${key}`)],
    ['another renaming', (key) => rename('plain', key)],
  ]
  for (const [index, [how, change]] of changes.entries()) {
    const [from, to] = [`raced-${index}`, `moved-${index}`]
    await put('plain', 'plain')
    const whole = await putTwoParts(from)
    before.set(from, () => rename(from, to))
    await change(from)
    t.notOk(before.has(from), `${how}: it was renamed in between`)
    t.ok((await read(to)) === whole, `${how}: the new name has all of it`)
    t.equal(await keptParts(), kept + 2 * (index + 1), `${how}: its parts stay`)
  }
})

t.test('parts go with what Swift’s clients write over, and delete', async (t) => {
  const kept = await keptParts()
  for (const [index, method] of ['PUT', 'DELETE', 'COPY'].entries()) {
    const key = `owned-${index}`
    await putTwoParts(key)
    t.equal(await keptParts(), kept + 2)
    const answer =
      method === 'COPY'
        ? await swift('PUT', `/${BUCKET}/${key}`, {
            headers: { 'x-copy-from': `${BUCKET}/moved-3` },
            body: '',
          })
        : await swift(method, `/${BUCKET}/${key}`, method === 'PUT' ? { body: 'x' } : {})
    t.ok(answer.ok, method)
    t.equal(await keptParts(), kept, `${method}: none stays`)
  }
  await putTwoParts('refused')
  const refused = await swift('PUT', `/${BUCKET}/refused`, {
    body: 'x',
    headers: { etag: 'd41d8cd98f00b204e9800998ecf8427e' },
  })
  t.equal(refused.status, 422)
  const conditional = await swift('DELETE', `/${BUCKET}/refused`, { headers: { 'if-match': 'x' } })
  t.equal(conditional.status, 412)
  t.equal(await keptParts(), kept + 2, 'what is refused takes nothing along')
})
