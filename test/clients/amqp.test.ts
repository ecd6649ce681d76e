/** Events of buckets to a RabbitMQ of Debian's: confirmed, returned, and told again when it is there again. */

import {
  CreateBucketCommand,
  PutBucketNotificationConfigurationCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { connect } from 'amqplib'
import t from 'tap'
import { MAIN, openS3Store, s3Client, testCredentials } from '../api/s3-store.ts'
import type { EventRecord } from '../support/event-receiver.ts'
import { missingRabbitMq, startRabbitMq } from '../support/rabbitmq-server.ts'
import { makeTopic } from '../support/sns-call.ts'

const skip = missingRabbitMq() ?? false
const EXCHANGE = 'events'

t.test(
  'events go to an exchange, by the name of their topic',
  { timeout: 300_000, skip },
  async (t) => {
    const folder = t.testdir({ rabbit: {}, store: {} })
    const rabbit = await startRabbitMq(`${folder}/rabbit`)
    t.teardown(() => rabbit.stop())
    const s3Options = { credentials: testCredentials, notificationHosts: ['127.0.0.1'] }
    const store = await openS3Store(`${folder}/store`, { s3: s3Options })
    const s3 = s3Client(store.port)
    const connection = await connect(rabbit.url)
    const channel = await connection.createChannel()
    t.teardown(async () => {
      s3.destroy()
      await store.close()
      await connection.close()
    })
    const attributes = {
      'push-endpoint': rabbit.url,
      'amqp-exchange': EXCHANGE,
      'amqp-ack-level': 'routable',
      retry_sleep_duration: '1',
    }
    const TopicArn = await makeTopic(store.url, MAIN, 'topic', attributes)
    const Bucket = 'told'
    await s3.send(new CreateBucketCommand({ Bucket }))
    const TopicConfigurations = [{ TopicArn, Events: ['s3:ObjectCreated:*' as const] }]
    const NotificationConfiguration = { TopicConfigurations }
    await s3.send(
      new PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration }),
    )

    await s3.send(new PutObjectCommand({ Bucket, Key: 'no exchange', Body: 'x' }))
    const failed = (why: RegExp) =>
      store.lines.some((line) => line.event === 'event not taken' && why.test(JSON.stringify(line)))
    await waitFor(() => failed(/not.?found|channel/i))
    t.pass('an exchange that is not there takes nothing')
    await channel.assertExchange(EXCHANGE, 'topic', { durable: true })
    await waitFor(() => failed(/no queue has taken/))
    t.pass('and what no queue takes is not told')
    const { queue } = await channel.assertQueue('all', { durable: true })
    await channel.bindQueue(queue, EXCHANGE, 'topic')
    const keys: string[] = []
    await channel.consume(queue, (message) => {
      if (message === null) return
      const { Records } = JSON.parse(message.content.toString()) as { Records: EventRecord[] }
      keys.push(...Records.map(({ s3: { object } }) => object.key))
      channel.ack(message)
    })
    await s3.send(new PutObjectCommand({ Bucket, Key: 'routed', Body: 'x' }))
    await waitFor(() => keys.includes('no+exchange') && keys.includes('routed'))
    t.strictSame(
      [...keys].sort(),
      ['no+exchange', 'routed'],
      'what waited and what came are told once',
    )
  },
)

async function waitFor(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20))
}
