/**
 * The part of SNS's API that buckets' notifications need: topics, whose attributes are RGW's.
 * Source: docs.aws.amazon.com/sns/latest/api, docs.ceph.com/en/latest/radosgw/notifications.
 */
import { ServiceError } from '../../../common/errors.ts'
import type { IamResult } from '../../../common/iam.ts'
import type { Exchange } from '../../exchange.ts'
import type { S3Settings } from '../s3-options.ts'
import { checkPushAddress } from './push-address.ts'
import {
  checkAttributes,
  isTopicName,
  parseTopicArn,
  shownAttributes,
  type Topic,
  type TopicAttributes,
  type TopicName,
  topicArn,
} from './topic.ts'
import { ALL_TOPICS, mayOnTopic } from './topic-access.ts'

/** That requests of it name. */
export const SNS_VERSION = '2010-03-31'

const TOPICS_MAX = 1_000
const PAGE_MAX = 100
const ATTRIBUTES_MAX = 50

interface SnsCall {
  readonly exchange: Exchange
  readonly settings: S3Settings
  readonly params: Readonly<Record<string, string>>
  readonly action: string
}

type SnsAction = (call: SnsCall) => Promise<IamResult>

/** Every action that is here. */
const ACTIONS: Readonly<Record<string, SnsAction>> = {
  CreateTopic: createTopic,
  DeleteTopic: deleteTopic,
  GetTopicAttributes: getTopicAttributes,
  SetTopicAttributes: setTopicAttributes,
  ListTopics: listTopics,
}

/** Answers a call whose signature was found good. Throws SNS's refusals; 501 for what is not here. */
export async function callSns(call: SnsCall): Promise<IamResult> {
  const handle = Object.hasOwn(ACTIONS, call.action) ? ACTIONS[call.action] : undefined
  if (handle === undefined)
    throw refusal('NotImplemented', `${call.action} is not implemented.`, 501)
  if (call.exchange.caller === null)
    throw refusal('MissingAuthenticationToken', 'Request is missing Authentication Token', 403)
  return handle(call)
}

/** One that is there takes on the attributes that are given, by who may set them. */
async function createTopic(call: SnsCall): Promise<IamResult> {
  const { exchange, settings, params } = call
  const { Name: text = '' } = params
  if (!isTopicName(text)) throw invalid('Topic Name')
  const name = { account: exchange.caller!.account, name: text }
  const given = givenAttributes(call)
  const { topics } = exchange.proxy.events
  const known = await topics.read(name)
  authorise(call, name, known)
  const changes = (key: string) => known?.attributes[key] !== given[key]
  if (known !== null && Object.keys(given).some(changes))
    authorise({ ...call, action: 'SetTopicAttributes' }, name, known)
  if (known === null) {
    const names = await topics.names(name.account, '', TOPICS_MAX)
    if (names.length >= TOPICS_MAX) throw refusal('TopicLimitExceeded', 'Too many topics', 403)
  }
  await topics.change(name, (topic) => checked(call, { ...topic?.attributes, ...given }))
  return { TopicArn: topicArn(name, settings.region) }
}

/** One that is not there is deleted already. What waits in its queue is told to nobody. */
async function deleteTopic(call: SnsCall): Promise<IamResult> {
  const name = namedTopic(call)
  const { topics } = call.exchange.proxy.events
  const topic = await topics.read(name)
  authorise(call, name, topic)
  if (topic !== null) await topics.remove(name)
  return {}
}

async function getTopicAttributes(call: SnsCall): Promise<IamResult> {
  const topic = await authorisedTopic(call)
  return { Attributes: shownAttributes(topic, topicArn(topic, call.settings.region)) }
}

async function setTopicAttributes(call: SnsCall): Promise<IamResult> {
  const topic = await authorisedTopic(call)
  const { AttributeName: attribute = '', AttributeValue: value = '' } = call.params
  const changes = { [attribute]: value }
  await call.exchange.proxy.events.topics.change(topic, (now) => {
    if (now === null) throw notFound()
    return checked(call, { ...now.attributes, ...changes })
  })
  return {}
}

async function listTopics(call: SnsCall): Promise<IamResult> {
  const { exchange, params, settings } = call
  const { account } = exchange.caller!
  authorise(call, { account, name: ALL_TOPICS }, null)
  const after = Buffer.from(params.NextToken ?? '', 'base64url').toString()
  const names = await exchange.proxy.events.topics.names(account, after, PAGE_MAX)
  const last = names.length < PAGE_MAX ? undefined : names.at(-1)
  return {
    Topics: names.map((name) => ({ TopicArn: topicArn({ account, name }, settings.region) })),
    ...(last !== undefined && { NextToken: Buffer.from(last).toString('base64url') }),
  }
}

async function authorisedTopic(call: SnsCall): Promise<Topic> {
  const name = namedTopic(call)
  const topic = await call.exchange.proxy.events.topics.read(name)
  authorise(call, name, topic)
  if (topic === null) throw notFound()
  return topic
}

/** Whether there is such a topic, only those learn who may ask. */
function authorise({ exchange, settings, action }: SnsCall, name: TopicName, topic: Topic | null) {
  const asked = { action: `sns:${action}`, name, topic, region: settings.region }
  if (mayOnTopic(exchange, asked)) return
  throw refusal('AuthorizationError', `Not authorized to perform: sns:${action}`, 403)
}

function namedTopic({ params }: SnsCall): TopicName {
  const name = parseTopicArn(params.TopicArn ?? '')
  if (name === null) throw invalid('TopicArn')
  return name
}

/** `Attributes.entry.1.key` and `.value`; `attributes` in what RGW's own clients send. */
function givenAttributes({ params }: SnsCall): TopicAttributes {
  const given: Record<string, string> = {}
  for (const [name, key] of Object.entries(params)) {
    const entry = /^Attributes\.entry\.(\d{1,4})\.key$/.exec(name)
    if (entry === null) continue
    const value = params[`Attributes.entry.${entry[1]}.value`]
    if (value === undefined || Object.hasOwn(given, key)) throw invalid('Attributes')
    given[key] = value
  }
  if (Object.keys(given).length > ATTRIBUTES_MAX) throw invalid('Attributes')
  return given
}

/** Empty ones are none. */
function checked({ settings }: SnsCall, attributes: TopicAttributes): TopicAttributes {
  try {
    checkAttributes(attributes)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'MalformedPolicy')
      throw invalid(`Policy: ${error.message}`)
    throw error
  }
  const set = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== ''))
  const endpoint = set['push-endpoint']
  if (endpoint !== undefined) checkPushAddress(new URL(endpoint), settings.notificationHosts)
  return set
}

function invalid(what: string): ServiceError {
  return refusal('InvalidParameter', `Invalid parameter: ${what}`, 400)
}

function notFound(): ServiceError {
  return refusal('NotFound', 'Topic does not exist', 404)
}

function refusal(code: string, message: string, status: number): ServiceError {
  return new ServiceError(code, message, { status })
}
