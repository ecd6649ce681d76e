/** Versions by the S3 API over a real socket, beside Swift's own view of the same containers. */
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type ObjectVersion,
  PutBucketVersioningCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { OTHER, openS3Rig, s3Client, sendSigned } from './s3-store.ts'

const { store, s3, swift } = await openS3Rig(t, { versionsSettle: false })
let made = 0

type Status = 'Enabled' | 'Suspended'

async function bucket(status?: Status): Promise<string> {
  const name = `versions-${++made}`
  await s3.send(new CreateBucketCommand({ Bucket: name }))
  if (status !== undefined) await versioning(name, status)
  return name
}

function versioning(Bucket: string, Status: Status) {
  const VersioningConfiguration = { Status }
  return s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
}

async function put(Bucket: string, Key: string, Body: string, more = {}) {
  return (await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))).VersionId
}

/** The text of an object or a version, or why there is none. */
async function read(Bucket: string, Key: string, VersionId?: string): Promise<string> {
  try {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, VersionId }))
    return await Body!.transformToString()
  } catch (error) {
    return refusalIn(error)
  }
}

async function remove(Bucket: string, Key: string, VersionId?: string) {
  const { DeleteMarker, VersionId: id } = await s3.send(
    new DeleteObjectCommand({ Bucket, Key, VersionId }),
  )
  return { marker: DeleteMarker === true, id }
}

type Line = Pick<ObjectVersion, 'Key' | 'VersionId' | 'IsLatest'>

/** `key version latest`, delete markers with a `-` before. */
async function lines(Bucket: string, more = {}): Promise<readonly string[]> {
  const page = await s3.send(new ListObjectVersionsCommand({ Bucket, ...more }))
  const line = ({ Key, VersionId, IsLatest }: Line) =>
    `${Key} ${VersionId}${IsLatest ? ' latest' : ''}`
  return [
    ...(page.Versions ?? []).map(line),
    ...(page.DeleteMarkers ?? []).map((marker) => `-${line(marker)}`),
    ...(page.CommonPrefixes ?? []).map(({ Prefix }) => `${Prefix}`),
  ]
}

async function refused(action: Promise<unknown>): Promise<string> {
  try {
    await action
  } catch (error) {
    return refusalIn(error)
  }
  return 'done'
}

function refusalIn(error: unknown): string {
  const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } }
  return `${$metadata?.httpStatusCode} ${name}`
}

t.test('versioning is switched on and off, by either API', async (t) => {
  const name = await bucket()
  const status = async () =>
    (await s3.send(new GetBucketVersioningCommand({ Bucket: name }))).Status
  t.equal(await status(), undefined)
  await versioning(name, 'Enabled')
  t.equal(await status(), 'Enabled')
  t.equal((await swift('HEAD', `/${name}`)).headers.get('x-versions-enabled'), 'True')
  await swift('POST', `/${name}`, { headers: { 'x-versions-enabled': 'false' } })
  t.equal(await status(), 'Suspended')
  await versioning(name, 'Enabled')
  t.equal((await swift('HEAD', `/${name}`)).headers.get('x-versions-enabled'), 'True')
  const raw = (body: string) =>
    sendSigned(store.port, { method: 'PUT', path: `/${name}?versioning=`, body })
  const wrap = (inner: string) => `<VersioningConfiguration>${inner}</VersioningConfiguration>`
  t.equal((await raw(wrap('<Status>On</Status>'))).code, 'MalformedXML')
  t.equal((await raw(wrap(''))).code, 'IllegalVersioningConfigurationException')
  t.equal((await raw('<Other/>')).code, 'MalformedXML')
  const mfa = await raw(wrap('<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>'))
  t.equal(mfa.status, 501)
  const stranger = s3Client(store.port, OTHER)
  const stolen = new PutBucketVersioningCommand({
    Bucket: name,
    VersioningConfiguration: { Status: 'Suspended' },
  })
  t.equal(await refused(stranger.send(stolen)), '403 AccessDenied')
  stranger.destroy()
  await swift('PUT', '/versions-old', { headers: { 'x-versions-location': name } })
  t.equal(await refused(versioning('versions-old', 'Enabled')), '409 InvalidBucketState')
})

t.test('every write is a version; removed, the one before is current again', async (t) => {
  const name = await bucket('Enabled')
  const one = (await put(name, 'o', 'one'))!
  const two = (await put(name, 'o', 'two', { Metadata: { n: '2' } }))!
  t.not(one, two)
  t.equal(await read(name, 'o'), 'two')
  t.equal(await read(name, 'o', one), 'one')
  const head = await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o', VersionId: two }))
  t.match(head, { VersionId: two, Metadata: { n: '2' }, ContentLength: 3 })
  t.equal((await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o' }))).VersionId, two)
  const attributes = new GetObjectAttributesCommand({
    Bucket: name,
    Key: 'o',
    VersionId: one,
    ObjectAttributes: ['ETag', 'ObjectSize'],
  })
  t.match(await s3.send(attributes), { VersionId: one, ObjectSize: 3 })
  t.same(await lines(name), [`o ${two} latest`, `o ${one}`])
  // Removed at the top: the one below is current.
  t.same(await remove(name, 'o', two), { marker: false, id: two })
  t.equal(await read(name, 'o'), 'one')
  t.same(await lines(name), [`o ${one} latest`])
  t.equal((await swift('GET', `/${name}/o`)).headers.get('x-object-version-id'), one)
  // Once more is no failure; what never was, is none either.
  t.same(await remove(name, 'o', two), { marker: false, id: two })
  t.same(await remove(name, 'never', two), { marker: false, id: two })
  t.equal(await read(name, 'o', two), '404 NoSuchVersion')
  t.equal(await read(name, 'o', 'bogus'), '400 InvalidArgument')
  t.equal(await refused(remove(name, 'o', 'bogus')), '400 InvalidArgument')
  t.equal(await refused(s3.send(new DeleteBucketCommand({ Bucket: name }))), '409 BucketNotEmpty')
  await remove(name, 'o', one)
  t.same(await lines(name), [])
  t.equal(await read(name, 'o'), '404 NoSuchKey')
  await s3.send(new DeleteBucketCommand({ Bucket: name }))
})

t.test('a deletion leaves a marker, and goes with it', async (t) => {
  const name = await bucket('Enabled')
  const one = (await put(name, 'o', 'one'))!
  const first = await remove(name, 'o')
  const second = await remove(name, 'o')
  t.ok(first.marker && second.marker && first.id !== second.id)
  t.same(await lines(name), [`o ${one}`, `-o ${second.id} latest`, `-o ${first.id}`])
  t.same((await s3.send(new ListObjectsV2Command({ Bucket: name }))).KeyCount, 0)
  const gone = await sendSigned(store.port, { path: `/${name}/o` })
  t.equal(gone.code, 'NoSuchKey')
  t.equal(gone.headers['x-amz-delete-marker'], 'true')
  t.equal(gone.headers['x-amz-version-id'], second.id)
  const never = await sendSigned(store.port, { path: `/${name}/never` })
  t.equal(never.headers['x-amz-delete-marker'], 'false')
  const marker = await sendSigned(store.port, { path: `/${name}/o?versionId=${first.id}` })
  t.equal(marker.code, 'MethodNotAllowed')
  t.equal(marker.headers['x-amz-delete-marker'], 'true')
  const copy = { Bucket: name, Key: 'copy', CopySource: `${name}/o?versionId=${first.id}` }
  t.equal(await refused(s3.send(new CopyObjectCommand(copy))), '400 InvalidRequest')
  // A marker below another one hides nothing; the one above does.
  t.same(await remove(name, 'o', first.id), { marker: true, id: first.id })
  t.equal(await read(name, 'o'), '404 NoSuchKey')
  t.same(await remove(name, 'o', second.id), { marker: true, id: second.id })
  t.equal(await read(name, 'o'), 'one')
  t.same(await lines(name), [`o ${one} latest`])
  t.same(
    (await remove(name, 'nothing')).marker,
    true,
    'of a key that never was there is a marker, too',
  )
})

t.test('what was there before, and what is written while suspended, is `null`', async (t) => {
  const name = await bucket()
  t.equal(await put(name, 'o', 'before'), undefined)
  await versioning(name, 'Enabled')
  const one = (await put(name, 'o', 'one'))!
  t.same(await lines(name), [`o ${one} latest`, 'o null'])
  t.equal(await read(name, 'o', 'null'), 'before')
  const old = await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o', VersionId: 'null' }))
  t.equal(old.VersionId, 'null')
  await versioning(name, 'Suspended')
  t.equal(await put(name, 'o', 'null 1'), undefined)
  t.same(await lines(name), ['o null latest', `o ${one}`], 'there is one null version at most')
  t.equal((await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o' }))).VersionId, 'null')
  await put(name, 'o', 'null 2')
  t.equal(await read(name, 'o', 'null'), 'null 2')
  t.same(await remove(name, 'o'), { marker: true, id: 'null' })
  t.same(await lines(name), [`o ${one}`, '-o null latest'])
  t.equal(await read(name, 'o', 'null'), '405 MethodNotAllowed')
  await put(name, 'o', 'null 3')
  t.same(await lines(name), ['o null latest', `o ${one}`])
  await versioning(name, 'Enabled')
  const two = (await put(name, 'o', 'two'))!
  t.same(await lines(name), [`o ${two} latest`, 'o null', `o ${one}`])
  t.same(await remove(name, 'o', two), { marker: false, id: two })
  t.equal(await read(name, 'o'), 'null 3')
  t.same(await lines(name), ['o null latest', `o ${one}`])
  t.equal((await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o' }))).VersionId, 'null')
  t.same(await remove(name, 'o', 'null'), { marker: false, id: 'null' })
  t.equal(await read(name, 'o'), 'one')
  t.same(await lines(name), [`o ${one} latest`])
  // A plain object at the top gives way in the same manner.
  await versioning(name, 'Suspended')
  await put(name, 'o', 'null 4')
  await remove(name, 'o', 'null')
  t.equal(await read(name, 'o'), 'one')
  const never = await bucket('Suspended')
  await put(never, 'o', 'one')
  t.same(await remove(never, 'o'), { marker: true, id: 'null' })
  t.same(await lines(never), ['-o null latest'])
  await remove(never, 'o', 'null')
  await s3.send(new DeleteBucketCommand({ Bucket: never }))
})

t.test('listings of versions: pages, prefixes, delimiters, names of any kind', async (t) => {
  const name = await bucket('Enabled')
  const keys = ['a', 'a/1', 'a/2', 'a0', 'b ö+&', 'b/x/1', 'c\u0001', 'z']
  const all: string[] = []
  for (const key of keys) {
    const ids = [await put(name, key, '1'), await put(name, key, '2'), await put(name, key, '3')]
    const latest = ids.pop()
    all.push(`${key} ${latest} latest`, `${key} ${ids[1]}`, `${key} ${ids[0]}`)
  }
  t.same(await lines(name, { EncodingType: undefined }), all)
  for (const MaxKeys of [1, 2, 5, 7]) {
    const paged: string[] = []
    let more: Record<string, unknown> = {}
    for (let page = 0; page <= all.length; page++) {
      const found = await s3.send(new ListObjectVersionsCommand({ Bucket: name, MaxKeys, ...more }))
      t.ok((found.Versions ?? []).length <= MaxKeys)
      for (const { Key, VersionId, IsLatest } of found.Versions ?? [])
        paged.push(`${Key} ${VersionId}${IsLatest ? ' latest' : ''}`)
      if (found.IsTruncated !== true) break
      more = { KeyMarker: found.NextKeyMarker, VersionIdMarker: found.NextVersionIdMarker }
    }
    t.same(paged, all, `in pages of ${MaxKeys}`)
  }
  t.same(await lines(name, { Delimiter: '/' }), [
    ...all.filter((line) => !/^(a|b)\//.test(line)),
    'a/',
    'b/',
  ])
  t.same(await lines(name, { Delimiter: '/', Prefix: 'b/' }), ['b/x/'])
  t.same(
    await lines(name, { Delimiter: '0' }),
    [...all.filter((line) => !line.startsWith('a0')), 'a0'],
    'a delimiter that stands in ids as well',
  )
  const first = await s3.send(
    new ListObjectVersionsCommand({ Bucket: name, Delimiter: '/', MaxKeys: 4 }),
  )
  t.match(first, { IsTruncated: true, NextKeyMarker: 'a/' })
  t.same(
    await lines(name, { Delimiter: '/', KeyMarker: first.NextKeyMarker, MaxKeys: 3 }),
    all.filter((line) => line.startsWith('a0 ')),
  )
  const bad = (query: string) => sendSigned(store.port, { path: `/${name}?versions=&${query}` })
  t.equal((await bad('version-id-marker=1.00000')).code, 'InvalidArgument')
  t.equal((await bad('key-marker=a&version-id-marker=x')).code, 'InvalidArgument')
  t.equal((await bad('max-keys=-1')).code, 'InvalidArgument')
  t.same(await lines(name, { MaxKeys: 0 }), [])
})

t.test('copies of versions, and conditions about what is current', async (t) => {
  const name = await bucket('Enabled')
  const one = (await put(name, 'o', 'one'))!
  const two = (await put(name, 'o', 'two'))!
  const source = `${name}/o?versionId=${one}`
  const copied = await s3.send(
    new CopyObjectCommand({ Bucket: name, Key: 'copy', CopySource: source }),
  )
  t.equal(copied.CopySourceVersionId, one)
  t.ok(copied.VersionId)
  t.equal(await read(name, 'copy'), 'one')
  // An old version is brought back by a copy onto the object itself.
  await s3.send(new CopyObjectCommand({ Bucket: name, Key: 'o', CopySource: source }))
  t.equal(await read(name, 'o'), 'one')
  t.equal(await read(name, 'o', two), 'two')
  const none = { IfNoneMatch: '*' }
  t.equal(await refused(put(name, 'o', 'x', none)), '412 PreconditionFailed')
  await remove(name, 'o')
  const three = (await put(name, 'o', 'three', none))!
  t.ok(three, 'a delete marker does not stand in the way')
  const { ETag } = await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o' }))
  t.ok(await put(name, 'o', 'four', { IfMatch: ETag }))
  t.equal(await refused(put(name, 'o', 'five', { IfMatch: ETag })), '412 PreconditionFailed')
  const wrong = new DeleteObjectCommand({ Bucket: name, Key: 'o', VersionId: three, IfMatch: 'x' })
  t.equal(await refused(s3.send(wrong)), '412 PreconditionFailed')
  t.equal(await read(name, 'o', three), 'three')
})

t.test('multipart uploads are versions, whose parts live as long as they', async (t) => {
  const name = await bucket('Enabled')
  const upload = async (text: string) => {
    const at = { Bucket: name, Key: 'big' }
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand(at))
    const { ETag } = await s3.send(
      new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: text }),
    )
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
    const complete = new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload })
    const made = (await s3.send(complete)).VersionId
    t.equal((await s3.send(complete)).VersionId, made, 'asked again, it is the same')
    return made!
  }
  const one = await upload('part one')
  const two = await upload('part two')
  t.equal(await read(name, 'big', one), 'part one')
  t.equal(await read(name, 'big'), 'part two')
  t.equal(await (await swift('GET', `/${name}/big?version-id=${one}`)).text(), 'part one')
  await remove(name, 'big', two)
  t.equal(await read(name, 'big'), 'part one')
  const expiring = async () => {
    const parts = await (await swift('GET', `/${name}+segments?prefix=parts/&format=json`)).json()
    const heads = (parts as { name: string }[]).map((part) =>
      swift('HEAD', `/${name}+segments/${part.name}`),
    )
    return (await Promise.all(heads)).filter((head) => head.headers.has('x-delete-at')).length
  }
  t.equal(await expiring(), 1, 'parts of the removed version, of no other')
  await versioning(name, 'Suspended')
  await put(name, 'big', 'plain')
  t.equal(await read(name, 'big', one), 'part one')
  t.equal(await expiring(), 1, 'a version that is not current any more keeps its parts')
  const three = await upload('part three')
  t.equal(three, undefined)
  await put(name, 'big', 'plain')
  t.equal(await expiring(), 2, 'a null version that was replaced does not')
})

t.test('many at once: what is named by its id goes, what is not is marked', async (t) => {
  const name = await bucket('Enabled')
  const one = (await put(name, 'a', '1'))!
  await put(name, 'b', '1')
  const { Deleted, Errors } = await s3.send(
    new DeleteObjectsCommand({
      Bucket: name,
      Delete: {
        Objects: [
          { Key: 'a', VersionId: one },
          { Key: 'b' },
          { Key: 'a', VersionId: 'bogus' },
          { Key: 'never', VersionId: one },
        ],
      },
    }),
  )
  t.match(Errors, [{ Key: 'a', VersionId: 'bogus', Code: 'InvalidArgument' }])
  const by = (key: string) => Deleted!.find(({ Key }) => Key === key)
  t.match(by('a'), { VersionId: one })
  t.equal(by('a')?.DeleteMarker, undefined)
  t.equal(by('b')?.DeleteMarker, true)
  t.match(await lines(name), [/^b /, `-b ${by('b')?.DeleteMarkerVersionId} latest`])
  const objects = (await lines(name)).map((line) => {
    const [Key = '', VersionId = ''] = line.replace(/^-/, '').split(' ')
    return { Key, VersionId }
  })
  const all = new DeleteObjectsCommand({ Bucket: name, Delete: { Objects: objects } })
  await s3.send(all)
  t.equal((await s3.send(all)).Deleted?.length, 2, 'once more is no failure')
  await s3.send(new DeleteBucketCommand({ Bucket: name }))
})

t.test('writers and removers at once: the newest version that is left is current', async (t) => {
  const beside = await store.openBeside()
  const clients = [s3, s3Client(beside.port)]
  const name = await bucket('Enabled')
  await s3.send(new HeadObjectCommand({ Bucket: name, Key: 'o' })).catch(() => {})
  let text = 0
  for (let round = 0; round < 6; round++) {
    const known = (await lines(name)).map((line) => line.replace(/^-/, '').split(' ')[1]!)
    const half = known.filter((_, index) => index % 2 === round % 2)
    await Promise.all([
      ...clients.flatMap((client) => [
        client.send(new PutObjectCommand({ Bucket: name, Key: 'o', Body: `${++text}` })),
        client.send(new PutObjectCommand({ Bucket: name, Key: 'o', Body: `${++text}` })),
        client.send(new DeleteObjectCommand({ Bucket: name, Key: 'o' })),
        ...half.map((VersionId) =>
          client.send(new DeleteObjectCommand({ Bucket: name, Key: 'o', VersionId })),
        ),
      ]),
    ])
    const page = await s3.send(new ListObjectVersionsCommand({ Bucket: name }))
    const rows = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
    rows.sort((a, b) => (a.VersionId! < b.VersionId! ? 1 : -1))
    t.notOk(rows.some(({ VersionId }) => half.includes(VersionId!)))
    t.same(
      rows.map(({ IsLatest }) => IsLatest === true),
      rows.map((_, index) => index === 0),
    )
    const isMarker = (page.DeleteMarkers ?? []).some(({ IsLatest }) => IsLatest)
    const now = await read(name, 'o')
    if (isMarker) t.equal(now, '404 NoSuchKey')
    else t.equal(now, await read(name, 'o', rows[0]!.VersionId))
  }
  clients[1]!.destroy()
})

t.test('all versions may be removed by several at once', async (t) => {
  const beside = await store.openBeside()
  const clients = [s3, s3Client(beside.port)]
  const Bucket = await bucket('Enabled')
  const keys = ['a', 'b', 'c', 'd', 'e']
  for (let round = 0; round < 5; round++) {
    for (const Body of ['1', '2', '3']) await Promise.all(keys.map((key) => put(Bucket, key, Body)))
    const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket }))
    const Objects = Versions!.map(({ Key, VersionId }) => ({ Key: Key!, VersionId }))
    const all = new DeleteObjectsCommand({ Bucket, Delete: { Objects } })
    const answers = await Promise.all([0, 1, 0, 1, 0].map((which) => clients[which]!.send(all)))
    for (const { Deleted, Errors } of answers) t.same([Deleted?.length, Errors], [15, undefined])
    const left = await s3.send(new ListObjectVersionsCommand({ Bucket }))
    t.same([left.Versions, left.DeleteMarkers], [undefined, undefined])
  }
  clients[1]!.destroy()
})

t.test("versions by their ids are the owner's, whatever the ACL lets others do", async (t) => {
  const Bucket = await bucket()
  const before = await put(Bucket, 'o', 'from before')
  t.equal(before, undefined)
  await versioning(Bucket, 'Enabled')
  const old = await put(Bucket, 'o', 'old')
  await put(Bucket, 'o', 'new')
  const acl = {
    'x-container-read': '.r:*,.rlistings,test2:tester2',
    'x-container-write': 'test2:tester2',
  }
  await swift('POST', `/${Bucket}`, { headers: acl })
  const other = s3Client(store.port, OTHER)
  t.teardown(() => other.destroy())
  await other.send(new CreateBucketCommand({ Bucket: 'theirs' }))
  const get = (VersionId?: string) =>
    refused(other.send(new GetObjectCommand({ Bucket, Key: 'o', VersionId })))
  const copy = (version: string) => {
    const CopySource = `${Bucket}/o${version}`
    return refused(other.send(new CopyObjectCommand({ Bucket: 'theirs', Key: 'o', CopySource })))
  }
  t.equal(await get(), 'done')
  t.equal(await copy(''), 'done')
  for (const id of [old!, 'null']) {
    t.equal(await get(id), '403 AccessDenied', id)
    t.equal(await copy(`?versionId=${id}`), '403 AccessDenied')
    t.equal(
      (await sendSigned(store.port, { path: `/${Bucket}/o?versionId=${id}`, key: null })).status,
      403,
    )
    const Key = 'o'
    const removal = new DeleteObjectCommand({ Bucket, Key, VersionId: id })
    t.equal(await refused(other.send(removal)), '403 AccessDenied')
    const Delete = { Objects: [{ Key, VersionId: id }] }
    const { Errors } = await other.send(new DeleteObjectsCommand({ Bucket, Delete }))
    t.match(Errors, [{ Code: 'AccessDenied' }])
  }
  t.equal(await read(Bucket, 'o', old), 'old')
  t.equal(await read(Bucket, 'o', 'null'), 'from before')
})
