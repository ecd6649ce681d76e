/** A topic of SNS: where events that are told to it go, and how hard that is tried. The attributes are RGW's. Pure. */
import { type PolicyForm, parsePolicy } from '../../../common/access-policy/policy-document.ts'
import { ServiceError } from '../../../common/errors.ts'

export interface TopicName {
  /** The storage account that owns it. */
  readonly account: string
  readonly name: string
}

/** As they were set, by RGW's names. */
export type TopicAttributes = Readonly<Record<string, string>>

export interface Topic extends TopicName {
  readonly attributes: TopicAttributes
}

/** What the attributes say. */
export interface Delivery {
  /** Null: nobody is to be told. */
  readonly endpoint: URL | null
  readonly opaqueData: string
  readonly verifySsl: boolean
  readonly exchange: string
  readonly ackLevel: AckLevel
  /** Of one event, after the first try; Infinity: until its time is over. */
  readonly retriesMax: number
  /** Null: longer and longer. */
  readonly retrySleepMs: number | null
  readonly timeToLiveMs: number
}

export const ACK_LEVELS = ['none', 'broker', 'routable'] as const
export type AckLevel = (typeof ACK_LEVELS)[number]

const NAME = /^[A-Za-z0-9_-]{1,256}$/
const ARN = /^arn:aws:sns:([a-z0-9-]*):([^:/]{1,256}):([A-Za-z0-9_-]{1,256})$/
const VALUE_BYTES_MAX = 8 * 1024
const TIME_TO_LIVE_SECONDS = 7 * 24 * 3600
const SECONDS_MAX = 365 * 24 * 3600

/** Whether it may be asked for a topic's policy. */
export const TOPIC_POLICY: PolicyForm = {
  principal: 'required',
  resource: 'required',
  bytesMax: 30 * 1024,
}

export function topicArn({ account, name }: TopicName, region: string): string {
  return `arn:aws:sns:${region}:${account}:${name}`
}

/** Null for what is none. The region is nobody's concern: topics are those of the whole store. */
export function parseTopicArn(arn: string): TopicName | null {
  const [, , account, name] = ARN.exec(arn) ?? []
  return account === undefined || name === undefined ? null : { account, name }
}

export function isTopicName(name: string): boolean {
  return NAME.test(name)
}

/** Throws InvalidParameter (400) for what is none of them, or says nothing that makes sense. */
export function checkAttributes(attributes: TopicAttributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined
    if (check === undefined) throw invalid(`${name} is not known`)
    if (name !== 'Policy' && Buffer.byteLength(value) > VALUE_BYTES_MAX)
      throw invalid(`${name} is too long`)
    if (value !== '' && !check(value)) throw invalid(`${name} is not valid`)
  }
  const { endpoint, exchange } = deliveryOf(attributes)
  const isAmqp = endpoint !== null && AMQP.includes(endpoint.protocol)
  if (isAmqp && exchange === '') throw invalid('amqp-exchange is missing')
}

export const AMQP: readonly string[] = ['amqp:', 'amqps:']
const PROTOCOLS = ['http:', 'https:', ...AMQP]

const CHECKS: Readonly<Record<string, (value: string) => boolean>> = {
  'push-endpoint': (value) => URL.canParse(value) && isEndpoint(new URL(value)),
  OpaqueData: () => true,
  persistent: isBoolean,
  'amqp-exchange': (value) => Buffer.byteLength(value) <= 127,
  'amqp-ack-level': (value) => ACK_LEVELS.some((level) => level === value),
  'verify-ssl': isBoolean,
  max_retries: isNumber,
  retry_sleep_duration: isNumber,
  time_to_live: isNumber,
  DisplayName: () => true,
  Policy(value) {
    parsePolicy(value, TOPIC_POLICY)
    return true
  },
}

function isEndpoint({ protocol, hostname }: URL): boolean {
  return PROTOCOLS.includes(protocol) && hostname !== ''
}

function isBoolean(value: string): boolean {
  return value === 'true' || value === 'false'
}

/** RGW's word for what is not set is `None`. */
function isNumber(value: string): boolean {
  return value === 'None' || (/^\d{1,9}$/.test(value) && Number(value) <= SECONDS_MAX)
}

export function deliveryOf(attributes: TopicAttributes): Delivery {
  const endpoint = attributes['push-endpoint']
  const retries = numberOf(attributes.max_retries)
  const sleep = numberOf(attributes.retry_sleep_duration)
  return {
    endpoint: endpoint ? new URL(endpoint) : null,
    opaqueData: attributes.OpaqueData ?? '',
    verifySsl: attributes['verify-ssl'] !== 'false',
    exchange: attributes['amqp-exchange'] ?? '',
    ackLevel: ACK_LEVELS.find((level) => level === attributes['amqp-ack-level']) ?? 'broker',
    retriesMax: retries ?? Number.POSITIVE_INFINITY,
    retrySleepMs: sleep === null ? null : sleep * 1000,
    timeToLiveMs: (numberOf(attributes.time_to_live) || TIME_TO_LIVE_SECONDS) * 1000,
  }
}

function numberOf(text: string | undefined): number | null {
  return text === undefined || text === '' || text === 'None' ? null : Number(text)
}

/** What GetTopicAttributes tells: passwords are not among it. */
export function shownAttributes(topic: Topic, arn: string): TopicAttributes {
  const { attributes } = topic
  const { endpoint, exchange, ackLevel, verifySsl } = deliveryOf(attributes)
  const address = endpoint === null ? '' : withoutPassword(endpoint)
  const isAmqp = endpoint !== null && AMQP.includes(endpoint.protocol)
  const args = isAmqp
    ? `amqp-exchange=${exchange}&amqp-ack-level=${ackLevel}&verify-ssl=${verifySsl}`
    : `verify-ssl=${verifySsl}`
  return {
    TopicArn: arn,
    Owner: topic.account,
    EndPoint: JSON.stringify({
      EndpointAddress: address,
      EndpointArgs: args,
      EndpointTopic: topic.name,
      HasStoredSecret: (endpoint?.password ?? '') !== '',
      Persistent: true,
      TimeToLive: attributes.time_to_live ?? 'None',
      MaxRetries: attributes.max_retries ?? 'None',
      RetrySleepDuration: attributes.retry_sleep_duration ?? 'None',
    }),
    ...attributes,
    ...(endpoint !== null && { 'push-endpoint': address }),
    OpaqueData: attributes.OpaqueData ?? '',
    Policy: attributes.Policy ?? '',
  }
}

function withoutPassword(endpoint: URL): string {
  const shown = new URL(endpoint)
  if (shown.password !== '') shown.password = '***'
  return shown.href
}

function invalid(message: string): ServiceError {
  return new ServiceError('InvalidParameter', `Invalid parameter: ${message}`, { status: 400 })
}
