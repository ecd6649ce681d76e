/**
 * S3's features on the same few names in random order - parts, copies, appends, renamings, versions switched on and off, storage classes,
 * tags, the Swift API beside it -, two changes at a time, compared with a model after every few steps, through starts of the store in between. At the end all
 * is deleted, and nothing of it may stay but what has a time to go.
 */
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  RenameObjectCommand,
  type S3Client,
  type StorageClass,
} from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import type { ListRow } from '../../common/storage-node.ts'
import { MAIN, openS3Store, putInParts, s3Client, testCredentials } from '../api/s3-store.ts'
import type { TestStore } from '../api/swift-store.ts'
import { type SeededRandom, seededRandom } from '../support/seeded-random.ts'
import { BucketModel } from './support/bucket-model.ts'

const IS_LONG = process.env.SWIFTLET_PROBE === 'long'
const RUNS = IS_LONG ? 40 : 2
const STEPS = IS_LONG ? 400 : 40
const FIRST_SEED = Number(process.env.SWIFTLET_SEED ?? Math.floor(Math.random() * 1e9))
const BUCKET = 'model'
const KEYS = ['a', 'b', 'dir/c', 'dir/d', 'ö+ %']
const COLD = 'GLACIER_IR'
const LENGTHS = [0, 1, 100, 5_000, 65_536, 70_000]

interface World {
  readonly random: SeededRandom
  readonly model: BucketModel
  readonly folder: string
  readonly isEnciphered: boolean
  store: TestStore
  s3: S3Client
  token: string
  /** What was done, for who has to find out what went wrong. */
  readonly history: string[]
}

/** `other` is a name that nothing else is done with at that moment. */
type Step = (world: World, key: string, other: string) => Promise<void>

const STEPS_OF: readonly (readonly [weight: number, name: string, step: Step])[] = [
  [6, 'put', put],
  [3, 'parts', inParts],
  [3, 'copy', copy],
  [6, 'append', append],
  [3, 'rename', rename],
  [3, 'delete', remove],
  [3, 'delete version', removeVersion],
  [1, 'delete all', removeMany],
  [2, 'tags', tag],
  [2, 'class', changeClass],
  [2, 'swift put', swiftPut],
  [1, 'swift delete', swiftDelete],
]

const ROOTS = { active: 'one', secrets: new Map([['one', Buffer.alloc(32, 7)]]) }

async function open(
  folder: string,
  isEnciphered: boolean,
): Promise<Pick<World, 'store' | 's3' | 'token'>> {
  const storageClasses = [{ name: COLD, policy: 1 }]
  const s3Options = { credentials: testCredentials, storageClasses, partBytesMin: 1 }
  const encryption = isEnciphered ? { encryption: ROOTS } : {}
  const store = await openS3Store(folder, { s3: s3Options, ...encryption })
  const signedIn = await fetch(`${store.url}/auth/v1.0`, {
    headers: { 'x-auth-user': 'test:tester', 'x-auth-key': 'testing' },
  })
  const token = signedIn.headers.get('x-auth-token')!
  // An append has the checksum of what is there, or none: a client's own choice would not be.
  const s3 = s3Client(store.port, MAIN, { requestChecksumCalculation: 'WHEN_REQUIRED' })
  return { store, s3, token }
}

async function close({ s3, store }: Pick<World, 's3' | 'store'>): Promise<void> {
  s3.destroy()
  await store.close()
}

function text(random: SeededRandom): string {
  const length = random.pick(LENGTHS)!
  return `${random.below(1e6)} `.repeat(Math.ceil(length / 2)).slice(0, length)
}

function classFor(random: SeededRandom): StorageClass | undefined {
  return random.chance(0.25) ? COLD : undefined
}

async function put({ s3, model, random }: World, Key: string): Promise<void> {
  const [body, storageClass] = [text(random), classFor(random)]
  const tags: Record<string, string> = random.chance(0.3) ? { t: `${random.below(100)}` } : {}
  const Tagging = new URLSearchParams(tags).toString()
  const input = { Bucket: BUCKET, Key, Body: body, Tagging, StorageClass: storageClass }
  const { VersionId } = await s3.send(new PutObjectCommand(input))
  model.put(Key, VersionId, { body, tags, storageClass })
}

async function inParts({ s3, model, random }: World, Key: string): Promise<void> {
  const bodies = Array.from({ length: 1 + random.below(3) }, () => `.${text(random)}`)
  const storageClass = classFor(random)
  const { VersionId } = await putInParts(
    s3,
    { Bucket: BUCKET, Key, StorageClass: storageClass },
    bodies,
  )
  model.put(Key, VersionId, { body: bodies.join(''), tags: {}, storageClass })
}

async function copy({ s3, model, random }: World, Key: string, from: string): Promise<void> {
  const source = model.current(from)
  if (source === undefined) return
  const { body, tags } = source
  const storageClass = classFor(random)
  const CopySource = `${BUCKET}/${encodeURIComponent(from)}`
  const input = { Bucket: BUCKET, Key, CopySource, StorageClass: storageClass }
  const { VersionId } = await s3.send(new CopyObjectCommand(input))
  model.put(Key, VersionId, { body, tags, storageClass })
}

async function append({ s3, model, random }: World, Key: string): Promise<void> {
  const before = model.current(Key)
  const body = `+${text(random)}`
  const input = { Bucket: BUCKET, Key, Body: body, WriteOffsetBytes: before?.body?.length ?? 0 }
  const sending = s3.send(new PutObjectCommand(input))
  if (model.versioning !== 'none') return refused(sending)
  await sending
  if (before === undefined) model.put(Key, undefined, { body, tags: {}, storageClass: undefined })
  else model.change(Key, before.id, { body: before.body + body })
}

async function rename({ s3, model }: World, Key: string, to: string): Promise<void> {
  const RenameSource = `/${BUCKET}/${encodeURIComponent(Key)}`
  const input = { Bucket: BUCKET, Key: to, RenameSource }
  const sending = s3.send(new RenameObjectCommand(input))
  if (model.versioning !== 'none' || model.current(Key) === undefined) return refused(sending)
  await sending
  model.rename(Key, to)
}

async function refused(sending: Promise<unknown>): Promise<void> {
  const error = await sending.then(
    () => null,
    (failure: unknown) => failure as { readonly $metadata: { readonly httpStatusCode: number } },
  )
  const status = error?.$metadata.httpStatusCode ?? 200
  if (status < 400 || status >= 500) throw new Error(`not refused: ${status}`)
}

async function remove({ s3, model }: World, Key: string): Promise<void> {
  const { VersionId } = await s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key }))
  model.delete(Key, VersionId)
}

async function removeVersion({ s3, model, random }: World, Key: string): Promise<void> {
  const version = random.pick(model.versions(Key))
  if (version === undefined) return
  await s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key, VersionId: version.id }))
  model.deleteVersion(Key, version.id)
}

async function removeMany({ s3, model }: World, key: string, other: string): Promise<void> {
  const Objects = [{ Key: key }, { Key: other }]
  const { Deleted = [], Errors } = await s3.send(
    new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects } }),
  )
  if (Errors !== undefined) throw new Error(JSON.stringify(Errors))
  for (const { Key, DeleteMarkerVersionId } of Deleted) model.delete(Key!, DeleteMarkerVersionId)
}

async function tag({ s3, model, random }: World, Key: string): Promise<void> {
  const current = model.current(Key)
  if (current === undefined) return
  const tags = { t: `${random.below(100)}` }
  const Tagging = { TagSet: [{ Key: 't', Value: tags.t }] }
  await s3.send(new PutObjectTaggingCommand({ Bucket: BUCKET, Key, Tagging }))
  model.change(Key, current.id, { tags })
}

/** An object that is copied onto itself. */
async function changeClass({ s3, model }: World, Key: string): Promise<void> {
  const current = model.current(Key)
  if (current === undefined) return
  const storageClass = current.storageClass === undefined ? COLD : undefined
  const CopySource = `${BUCKET}/${encodeURIComponent(Key)}`
  const StorageClass = storageClass ?? 'STANDARD'
  const input = { Bucket: BUCKET, Key, CopySource, StorageClass } as const
  const { VersionId } = await s3.send(new CopyObjectCommand(input))
  const { body, tags } = current
  model.put(Key, VersionId, { body, tags, storageClass })
}

async function swift(
  { store, token }: World,
  method: string,
  key: string,
  body?: string,
): Promise<Response> {
  const url = `${store.url}/v1/AUTH_test/${BUCKET}/${encodeURIComponent(key)}`
  const headers = { 'x-auth-token': token, 'content-type': 'text/plain' }
  return fetch(url, { method, headers, ...(body !== undefined && { body }) })
}

async function swiftPut(world: World, key: string): Promise<void> {
  const body = text(world.random)
  const answer = await swift(world, 'PUT', key, body)
  if (answer.status !== 201) throw new Error(`Swift's PUT: ${answer.status}`)
  const id = answer.headers.get('x-object-version-id') ?? undefined
  world.model.put(key, id, { body, tags: {}, storageClass: undefined })
}

/** Where versions are kept it means something else than S3's. */
async function swiftDelete(world: World, key: string): Promise<void> {
  const { model } = world
  if (model.versioning !== 'none') return
  const wanted = model.current(key) === undefined ? 404 : 204
  const answer = await swift(world, 'DELETE', key)
  if (answer.status !== wanted) throw new Error(`Swift's DELETE: ${answer.status}`)
  model.delete(key, undefined)
}

async function switchVersions({ s3, model, random, history }: World): Promise<void> {
  const Status = random.pick(['Enabled', 'Suspended'] as const)!
  history.push(`versions ${Status}`)
  const VersioningConfiguration = { Status }
  await s3.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration }))
  model.versioning = Status
}

function chosen(random: SeededRandom): readonly [name: string, step: Step] {
  let left = random.below(STEPS_OF.reduce((sum, [weight]) => sum + weight, 0))
  for (const [weight, name, step] of STEPS_OF) {
    left -= weight
    if (left < 0) return [name, step]
  }
  throw new Error('weights do not add up')
}

/** Every version of every name, the lists, and what the Swift API shows. */
async function compare(t: Test, world: World): Promise<void> {
  const { s3, model } = world
  const listed = await s3.send(new ListObjectVersionsCommand({ Bucket: BUCKET }))
  const seen = [
    ...(listed.Versions ?? []).map((one) => ({ ...one, isMarker: false })),
    ...(listed.DeleteMarkers ?? []).map((one) => ({ ...one, isMarker: true })),
  ]
  const wanted = model.keys.flatMap((key) =>
    model
      .versions(key)
      .map(({ id, body }, index) => `${key} ${id} ${body === null} ${index === 0}`),
  )
  const shown = seen.map((one) => `${one.Key} ${one.VersionId} ${one.isMarker} ${one.IsLatest}`)
  t.same(shown.sort(), [...wanted].sort(), 'versions')
  const live = model.keys.filter((key) => model.current(key) !== undefined)
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
  t.same(
    Contents.map(({ Key, Size, StorageClass }) => [Key, Size, StorageClass]),
    live.map((key) => {
      const { body, storageClass } = model.current(key)!
      return [key, body!.length, storageClass ?? 'STANDARD']
    }),
    'objects',
  )
  for (const key of KEYS) await compareKey(t, world, key)
}

async function compareKey(t: Test, world: World, Key: string): Promise<void> {
  const { s3, model } = world
  const viaSwift = await swift(world, 'GET', Key)
  const wanted = model.current(Key)?.body
  t.equal(viaSwift.status, wanted === undefined ? 404 : 200, `${Key} through Swift`)
  const bytes = await viaSwift.text()
  if (wanted !== undefined) t.ok(bytes === wanted, `${Key} is the same through Swift`)
  for (const { id, body, tags, storageClass } of model.versions(Key)) {
    if (body === null) continue
    const which = { Bucket: BUCKET, Key, ...(model.versioning !== 'none' && { VersionId: id }) }
    const { Body } = await s3.send(new GetObjectCommand({ ...which, ChecksumMode: 'ENABLED' }))
    t.ok((await Body!.transformToString()) === body, `${Key} ${id} has its bytes`)
    const head = await s3.send(new HeadObjectCommand(which))
    t.match(head, { ContentLength: body.length, StorageClass: storageClass }, `${Key} ${id}`)
    const { TagSet } = await s3.send(new GetObjectTaggingCommand(which))
    const known = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
    t.same(TagSet, known, `tags of ${Key} ${id}`)
  }
}

async function rowsOf({ store }: World, container: string): Promise<readonly ListRow[]> {
  const page = await store.context.backend.listContainer('AUTH_test', container, { limit: 10_000 })
  return (page?.entries ?? []) as readonly ListRow[]
}

/** Rows of a hidden container whose objects have no time to go. */
async function staying(world: World, container: string, policy: number): Promise<string[]> {
  const { backend } = world.store.context
  const stays: string[] = []
  for (const { name } of await rowsOf(world, container)) {
    const path = { account: 'AUTH_test', container, object: name, policy }
    const read = await backend.readObject(path, { head: true })
    if (read !== null && read.info.meta.headers['x-delete-at'] === undefined) stays.push(name)
  }
  return stays
}

async function empty(t: Test, world: World): Promise<void> {
  const { s3, model } = world
  for (const Key of model.keys) {
    for (const { id } of model.versions(Key)) {
      const which = { Bucket: BUCKET, Key, ...(model.versioning !== 'none' && { VersionId: id }) }
      await s3.send(new DeleteObjectCommand(which))
      model.deleteVersion(Key, id)
    }
  }
  await compare(t, world)
  const parts = `${BUCKET}+segments`
  t.same(await staying(world, parts, 0), [], 'no part stays')
  t.same(await staying(world, `\0class\x001\0${BUCKET}`, 1), [], 'no bytes of another class stay')
  // Those of parts go with them.
  const names = new Set((await rowsOf(world, parts)).map(({ name }) => name))
  const bytes = await staying(world, `\0class\x001\0${parts}`, 1)
  t.same(
    bytes.filter((name) => !names.has(name.split('\0')[0]!)),
    [],
    'nor those of a part that is gone',
  )
}

async function run(t: Test, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const folder = t.testdir()
  // Every other store is enciphered at rest.
  const isEnciphered = seed % 2 === 1
  const opened = await open(folder, isEnciphered)
  const model = new BucketModel()
  const world: World = { ...opened, random, model, folder, isEnciphered, history: [] }
  await world.s3.send(new CreateBucketCommand({ Bucket: BUCKET }))
  try {
    for (let step = 1; step <= STEPS; step++) {
      // Versions cannot be switched off again: the first half has none.
      if (step > STEPS / 2 && random.chance(0.1)) await switchVersions(world)
      if (random.chance(0.02)) await restart(world)
      await together(world, step)
      if (step % 20 === 0) await compare(t, world)
    }
    await empty(t, world)
  } catch (error) {
    t.fail(String(error), { seed, history: world.history.slice(-25), error })
  } finally {
    if (!t.passing()) t.comment(`SWIFTLET_SEED=${seed}: ${world.history.slice(-25).join('; ')}`)
    await close(world)
  }
}

/** One change, or two at the same moment, of names that have nothing to do with each other. */
async function together(world: World, step: number): Promise<void> {
  const { random } = world
  const keys = [...KEYS].sort(() => random.fraction() - 0.5)
  const changes = random.chance(0.5) ? [keys.slice(0, 2), keys.slice(2, 4)] : [keys.slice(0, 2)]
  await Promise.all(
    changes.map(([key, other]) => {
      const [name, act] = chosen(random)
      world.history.push(`${step} ${name} ${key}, ${other}`)
      return act(world, key!, other!)
    }),
  )
}

async function restart(world: World): Promise<void> {
  world.history.push('restart')
  await close(world)
  Object.assign(world, await open(world.folder, world.isEnciphered))
}

for (let number = 0; number < RUNS; number++) {
  const seed = FIRST_SEED + number
  t.test(`seed ${seed}`, (t) => run(t, seed))
}
