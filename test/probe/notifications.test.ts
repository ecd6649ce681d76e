/** kill -9 of a store whose bucket tells of its changes, to a receiver that fails: all that was acknowledged is told. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutBucketNotificationConfigurationCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import t from 'tap'
import { freePort, startStore } from '../../bench/store-process.ts'
import { s3Client } from '../api/s3-store.ts'
import type { EventRecord } from '../support/event-receiver.ts'
import { makeS3User, openKeystoneAdmin } from '../support/keystone-admin.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { makeTopic } from '../support/sns-call.ts'
import { LONG, probeSeed } from './support/scale.ts'

const KILLS = 6
/** Acknowledged between a start and a kill. */
const CHANGES = 300
const WRITERS = 8
/** Of tries. */
const FAILING = 0.3
const Bucket = 'told'

// After a kill nobody tells for half a minute.
const skip = LONG ? false : 'SWIFTLET_PROBE=long runs it'

t.test('no event of an acknowledged change is lost', { skip, timeout: 1_200_000 }, async (t) => {
  const seed = probeSeed()
  t.comment(`seed ${seed}`)
  const data = join(t.testdir({ data: {} }), 'data')
  const port = await freePort()
  const start = () => startStore({ dataFolder: data, port, extraArguments: ['--threads', '2'] })
  let store = await start()
  const key = await makeUser(data)
  await store.stop()
  allowLoopback(data)
  store = await start()
  t.teardown(() => store.stop())
  const receiver = await failingReceiver(seed)
  t.teardown(() => receiver.close())
  const s3 = s3Client(port, key)
  t.teardown(() => s3.destroy())
  const TopicArn = await makeTopic(`http://127.0.0.1:${port}`, key, 'topic', {
    'push-endpoint': receiver.url,
    retry_sleep_duration: '1',
  })
  await s3.send(new CreateBucketCommand({ Bucket }))
  const Events = ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'] as const
  const NotificationConfiguration = { TopicConfigurations: [{ TopicArn, Events: [...Events] }] }
  const configuration = { Bucket, NotificationConfiguration }
  await s3.send(new PutBucketNotificationConfigurationCommand(configuration))

  const work = writeOn(s3)
  for (let kill = 0; kill < KILLS; kill++) {
    const wanted = work.acknowledged.length + CHANGES
    while (work.acknowledged.length < wanted) await shortly()
    await store.kill()
    store = await start()
  }
  await work.stop()
  const missing = () => work.acknowledged.filter((change) => !receiver.told.has(change))
  while (missing().length > 0) await shortly()
  const { acknowledged, failures } = work
  t.ok(acknowledged.length > KILLS * CHANGES, `${acknowledged.length} changes were told`)
  t.comment(`${receiver.told.size} told, ${failures()} requests without an answer`)
})

async function makeUser(data: string) {
  const read = (name: string) => JSON.parse(readFileSync(join(data, name), 'utf8'))
  const { user, password } = read('credentials')
  const [project, name] = user.split(':')
  const url = `${read('endpoints.json').identity}/v3`
  const keystone = await openKeystoneAdmin({ url, user: name, password, project })
  const made = await makeS3User(keystone, { name: 'teller', project: 'tellers', role: 'manager' })
  return { accessKeyId: made.accessKey, secretAccessKey: made.secretKey }
}

function allowLoopback(data: string): void {
  const path = join(data, 'swiftlet.json')
  const settings = JSON.parse(readFileSync(path, 'utf8'))
  const s3 = { domains: [], websiteDomains: [], ...settings.s3, notificationHosts: ['127.0.0.1'] }
  writeFileSync(path, JSON.stringify({ ...settings, s3 }))
}

async function failingReceiver(seed: number) {
  const random = seededRandom(seed)
  const told = new Set<string>()
  const server = createServer((req, res) => {
    let text = ''
    req.on('data', (piece) => {
      text += piece
    })
    req.on('end', () => {
      const isTaken = !random.chance(FAILING)
      const { Records } = JSON.parse(text) as { readonly Records: readonly EventRecord[] }
      for (const { eventName, s3 } of isTaken ? Records : [])
        told.add(`${eventName} ${s3.object.key}`)
      res.writeHead(isTaken ? 200 : 500).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, told, close }
}

/** Puts new keys, and deletes each third of them, whatever the store is doing. */
function writeOn(s3: S3Client) {
  const acknowledged: string[] = []
  let [isOver, failures, at] = [false, 0, 0]
  const write = async () => {
    while (!isOver) {
      const Key = `key-${at++}`
      try {
        await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))
        acknowledged.push(`ObjectCreated:Put ${Key}`)
        if (Number(Key.slice(4)) % 3 > 0) continue
        await s3.send(new DeleteObjectCommand({ Bucket, Key }))
        acknowledged.push(`ObjectRemoved:Delete ${Key}`)
      } catch {
        failures++
        await shortly()
      }
    }
  }
  const writers = Array.from({ length: WRITERS }, write)
  const stop = async () => {
    isOver = true
    await Promise.all(writers)
  }
  return { acknowledged, failures: () => failures, stop }
}

function shortly(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20))
}
