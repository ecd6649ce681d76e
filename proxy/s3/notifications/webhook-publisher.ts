/** Sends events by HTTP POST. */
import { Agent, request } from 'undici'
import { publicLookup } from '../../../common/http/public-address.ts'
import { type EventMessage, PUBLISH_MS_MAX, type Publisher } from './publisher.ts'
import { type AllowedHosts, checkPushAddress, isAllowedHost } from './push-address.ts'
import { deliveryOf, type Topic } from './topic.ts'

/** Of an answer, which nobody reads. */
const ANSWER_BYTES_MAX = 64 * 1024
const CONNECTIONS_MAX = 16

export class WebhookPublisher implements Publisher {
  readonly #allowed: AllowedHosts
  readonly #agents = new Map<string, Agent>()

  constructor(allowed: AllowedHosts) {
    this.#allowed = allowed
  }

  /** Taken is what is answered 2xx; no redirection is followed. */
  async publish({ attributes }: Topic, { id, body }: EventMessage): Promise<void> {
    const { endpoint, verifySsl } = deliveryOf(attributes)
    if (endpoint === null) throw new Error('the topic has no endpoint')
    checkPushAddress(endpoint, this.#allowed)
    const url = new URL(endpoint)
    url.username = ''
    url.password = ''
    const answer = await request(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'x-event-id': id, ...credentials(endpoint) },
      dispatcher: this.#agent(isAllowedHost(endpoint, this.#allowed), verifySsl),
      signal: AbortSignal.timeout(PUBLISH_MS_MAX),
    })
    await answer.body.dump({ limit: ANSWER_BYTES_MAX })
    const { statusCode } = answer
    if (statusCode < 200 || statusCode > 299) throw new Error(`answered ${statusCode}`)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()))
  }

  #agent(isAllowed: boolean, verifySsl: boolean): Agent {
    const key = `${isAllowed} ${verifySsl}`
    const known = this.#agents.get(key)
    if (known !== undefined) return known
    const agent = new Agent({
      connections: CONNECTIONS_MAX,
      headersTimeout: PUBLISH_MS_MAX,
      bodyTimeout: PUBLISH_MS_MAX,
      connect: {
        timeout: PUBLISH_MS_MAX,
        rejectUnauthorized: verifySsl,
        ...(!isAllowed && { lookup: publicLookup }),
      },
    })
    this.#agents.set(key, agent)
    return agent
  }
}

function credentials({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {}
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}
