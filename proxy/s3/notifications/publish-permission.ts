/** Whether a bucket may still tell a topic: asked each time that an event is told, for policies change. Pure. */
import { judgePolicy } from '../../../common/access-policy/judge-policy.ts'
import { parsedPolicy } from '../../../common/access-policy/parsed-policy.ts'
import { TOPIC_POLICY, type Topic, topicArn } from './topic.ts'

/** What is told, and on whose behalf. */
export interface Publication {
  /** The bucket's. */
  readonly account: string
  readonly bucket: string
  /** Names that policies have for who has set the rule. */
  readonly by: readonly string[]
  readonly region: string
  readonly nowMs: number
}

/** The topic's own account may, unless its policy denies it; others may what it allows their account, or who has set the rule. */
export function mayPublish(topic: Topic, of: Publication): boolean {
  const isOwn = topic.account === of.account
  const { Policy: text } = topic.attributes
  if (!text) return isOwn
  const judged = judgePolicy(parsedPolicy(text, TOPIC_POLICY), {
    action: 'sns:Publish',
    resource: topicArn(topic, of.region),
    principal: { arns: of.by, accounts: [of.account], canonicalIds: [of.account], federated: [] },
    keys: keysOf(of),
  })
  return judged === 'allow' || (isOwn && judged === null)
}

function keysOf({ account, bucket, nowMs }: Publication) {
  const facts: Readonly<Record<string, string>> = {
    'aws:sourcearn': `arn:aws:s3:::${bucket}`,
    'aws:sourceaccount': account,
    'aws:principalaccount': account,
    'aws:currenttime': new Date(nowMs).toISOString(),
    'aws:epochtime': String(Math.floor(nowMs / 1000)),
    'aws:securetransport': 'true',
  }
  return (name: string) => (Object.hasOwn(facts, name) ? [facts[name]!] : undefined)
}
