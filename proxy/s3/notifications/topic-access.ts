import { parsedPolicy } from '../../../common/access-policy/parsed-policy.ts'
import type { ConditionKeys } from '../../../common/access-policy/policy-variables.ts'
import { principalKeys } from '../../../common/iam.ts'
import type { Exchange } from '../../exchange.ts'
import { callerGrant } from '../../swift/access.ts'
import { principalOf, requestFacts } from '../../swift/policy-facts.ts'
import { decide } from '../access/decide.ts'
import { identityAt, isAccountKind } from '../access/s3-access.ts'
import { TOPIC_POLICY, type Topic, type TopicName, topicArn } from './topic.ts'

/** Of ListTopics, and of what is about no topic. */
export const ALL_TOPICS = '*'

/**
 * Whether the caller may do it: the account's operators may, users of IAM by their policies, everybody else by the topic's own.
 */
export function mayOnTopic(
  exchange: Exchange,
  asked: {
    readonly action: string
    readonly name: TopicName
    /** Null: there is none. */
    readonly topic: Topic | null
    readonly region: string
  },
): boolean {
  const { caller } = exchange
  const { action, name, topic, region } = asked
  // A session of one bucket is about nothing else.
  if (caller === null || caller.iam?.only !== undefined) return false
  const path = { account: name.account, container: undefined, object: undefined }
  const question = { acl: 'none', method: 'POST', path } as const
  const policy = topic?.attributes.Policy
  const decided = decide({
    action,
    resource: name.name === ALL_TOPICS ? ALL_TOPICS : topicArn(name, region),
    principal: principalOf(caller),
    keys: keysOf(exchange),
    isOwner: isAccountKind(caller) && callerGrant(exchange, question) !== null,
    identity: identityAt(caller, name.account),
    bucket: {
      policy: policy ? parsedPolicy(policy, TOPIC_POLICY) : null,
      isRestricted: false,
      bindsOwner: false,
      isOwnAccount: caller.account === name.account,
    },
    isGranted: false,
  })
  return decided === 'owner' || decided === 'allowed'
}

function keysOf(exchange: Exchange): ConditionKeys {
  const { caller } = exchange
  const own = caller?.iam === undefined ? null : principalKeys(caller.iam)
  const facts = requestFacts(exchange)
  return (name) => {
    const said = own?.(name)
    if (said !== undefined) return said
    const fact = Object.hasOwn(facts, name) ? facts[name]!() : undefined
    return fact === undefined ? undefined : [fact]
  }
}
