/** GET, PUT and (as RGW has it) DELETE ?notification. */
import { randomId } from '../../../common/random.ts'
import type { Reply } from '../../reply.ts'
import { principalOf } from '../../swift/policy-facts.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import {
  encodeRules,
  type NotificationRule,
  notificationRules,
  rulesElement,
} from '../notifications/notification-rule.ts'
import { readNotification } from '../notifications/read-notification.ts'
import { parseTopicArn } from '../notifications/topic.ts'
import { mayOnTopic } from '../notifications/topic-access.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 512 * 1024

export async function getBucketNotification(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketNotification', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  return xmlReply('NotificationConfiguration', rulesElement(notificationRules(info)))
}

/** A configuration without anything in it ends all. */
export async function putBucketNotification(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutBucketNotification', acl: 'none', method: 'PUT' })
  const root = parseXml(
    await receiveDocument(call, DOCUMENT_BYTES_MAX),
    'NotificationConfiguration',
  )
  const rules = readNotification(root, () => randomId(call.exchange.proxy.random))
  for (const rule of rules) await checkTopic(call, rule)
  const by = principalOf(call.exchange.caller)?.arns ?? []
  await setBucketSetting(call, 'notification', encodeRules(rules.map((rule) => ({ ...rule, by }))))
  return emptyReply(200)
}

export async function deleteBucketNotification(call: S3Call): Promise<Reply> {
  await enterBucket(call, { action: 's3:PutBucketNotification', acl: 'none', method: 'DELETE' })
  await setBucketSetting(call, 'notification', '')
  return emptyReply(204)
}

/** It is there, and whoever sets the rule may publish to it. */
async function checkTopic(call: S3Call, rule: NotificationRule): Promise<void> {
  const { exchange, settings } = call
  const name = parseTopicArn(rule.topic)!
  const topic = await exchange.proxy.events.topics.read(name)
  const asked = { action: 'sns:Publish', name, topic, region: settings.region }
  if (!mayOnTopic(exchange, asked)) throw new S3Error('AccessDenied')
  if (topic !== null) return
  throw new S3Error(
    'InvalidArgument',
    'Unable to validate the following destination configurations',
    {
      ArgumentName: rule.topic,
      ArgumentValue: 'The destination topic does not exist',
    },
  )
}
