/** Sends events to exchanges of AMQP 0-9-1, with the topic's name as their routing key; brokers confirm them. */
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { publicLookup } from '../../../common/http/public-address.ts'
import { type EventMessage, PUBLISH_MS_MAX, type Publisher } from './publisher.ts'
import { type AllowedHosts, checkPushAddress, isAllowedHost } from './push-address.ts'
import { deliveryOf, type Topic } from './topic.ts'

/** Brokers that a proxy is connected to at once; who was not needed for the longest time goes. */
const CONNECTIONS_MAX = 64
const HEARTBEAT_SECONDS = 30

interface Link {
  readonly model: ChannelModel
  readonly channel: ConfirmChannel
  /** Messages that no queue has taken, by their ids. */
  readonly returned: Set<string>
  /** Rejects when the connection is over. */
  readonly over: Promise<never>
}

export class AmqpPublisher implements Publisher {
  readonly #allowed: AllowedHosts
  readonly #links = new Map<string, Promise<Link>>()

  constructor(allowed: AllowedHosts) {
    this.#allowed = allowed
  }

  async publish(topic: Topic, message: EventMessage): Promise<void> {
    const { endpoint, verifySsl } = deliveryOf(topic.attributes)
    if (endpoint === null) throw new Error('the topic has no endpoint')
    checkPushAddress(endpoint, this.#allowed)
    const key = `${endpoint.href} ${verifySsl}`
    const linking = this.#links.get(key) ?? this.#open(key, endpoint, verifySsl)
    // The order of the map is that of their last use.
    this.#links.delete(key)
    this.#links.set(key, linking)
    let isRouted: boolean
    try {
      isRouted = await inTime(linking.then((link) => sendBy(link, topic, message)))
    } catch (error) {
      await this.#drop(key, linking)
      throw error
    }
    if (!isRouted) throw new Error('no queue has taken the event')
  }

  async close(): Promise<void> {
    await Promise.all([...this.#links].map(([key, linking]) => this.#drop(key, linking)))
  }

  #open(key: string, endpoint: URL, verifySsl: boolean): Promise<Link> {
    if (this.#links.size >= CONNECTIONS_MAX) {
      const [oldest] = this.#links
      if (oldest !== undefined) void this.#drop(...oldest)
    }
    const isAllowed = isAllowedHost(endpoint, this.#allowed)
    const linking = openLink(endpoint, { isAllowed, verifySsl })
    this.#links.set(key, linking)
    linking.then(
      ({ over }) => over.catch(() => this.#forget(key, linking)),
      () => this.#forget(key, linking),
    )
    return linking
  }

  #forget(key: string, linking: Promise<Link>): void {
    if (this.#links.get(key) === linking) this.#links.delete(key)
  }

  async #drop(key: string, linking: Promise<Link>): Promise<void> {
    this.#forget(key, linking)
    await inTime(linking.then(({ model }) => model.close())).catch(() => {})
  }
}

async function openLink(
  endpoint: URL,
  { isAllowed, verifySsl }: { readonly isAllowed: boolean; readonly verifySsl: boolean },
): Promise<Link> {
  const url = new URL(endpoint)
  url.search = `heartbeat=${HEARTBEAT_SECONDS}`
  const model = await connect(url.href, {
    timeout: PUBLISH_MS_MAX,
    rejectUnauthorized: verifySsl,
    ...(!isAllowed && { lookup: publicLookup }),
  })
  const over = new Promise<never>((_resolve, reject) => {
    model.on('error', reject)
    model.on('close', () => reject(new Error('the broker has ended the connection')))
  })
  over.catch(() => {})
  const channel = await model.createConfirmChannel()
  const returned = new Set<string>()
  channel.on('return', ({ properties }) => returned.add(String(properties.messageId)))
  const channelOver = new Promise<never>((_resolve, reject) => {
    channel.on('error', reject)
    channel.on('close', () => reject(new Error('the broker has ended the channel')))
  })
  channelOver.catch(() => model.close().catch(() => {}))
  return { model, channel, returned, over: Promise.race([over, channelOver]) }
}

/** False: no queue has taken it. Confirmations are waited for whatever the level: what nobody waits for would pile up in memory. */
async function sendBy(link: Link, topic: Topic, { id, body }: EventMessage): Promise<boolean> {
  const { exchange, ackLevel } = deliveryOf(topic.attributes)
  const isRoutable = ackLevel === 'routable'
  const options = {
    contentType: 'application/json',
    persistent: true,
    messageId: id,
    mandatory: isRoutable,
  }
  const confirmed = new Promise<void>((resolve, reject) => {
    link.channel.publish(exchange, topic.name, Buffer.from(body), options, (error) =>
      error ? reject(error) : resolve(),
    )
  })
  await Promise.race([confirmed, link.over])
  // What no queue takes comes back before it is confirmed.
  return !link.returned.delete(id)
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(PUBLISH_MS_MAX)
  const late = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('the broker does not answer')))
  })
  return Promise.race([work, late])
}
