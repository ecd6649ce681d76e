/** The topics of all accounts: an object each, in the account of the bucket directory. */
import { hash } from 'node:crypto'
import { ServiceError } from '../../../common/errors.ts'
import type { Backend, ObjectPath } from '../../backend/backend.ts'
import { wholeBody } from '../../swift/object-body.ts'
import { inOwnContainer } from '../../upkeep/own-container.ts'
import type { Topic, TopicAttributes, TopicName } from './topic.ts'

const ACCOUNT = '.s3'
const CONTAINER = 'topics'
const ROUNDS_MAX = 8

export class TopicBook {
  readonly #backend: Backend
  readonly #policy: number

  constructor(options: { readonly backend: Backend; readonly policy: number }) {
    this.#backend = options.backend
    this.#policy = options.policy
  }

  /** Null if there is none. */
  async read(name: TopicName): Promise<Topic | null> {
    return (await this.#find(name))?.topic ?? null
  }

  /** Writes what `change` makes of the topic (null: there is none); what it makes null stays as it is. 503 if others are at it. */
  async change(
    name: TopicName,
    change: (topic: Topic | null) => TopicAttributes | null,
  ): Promise<void> {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const found = await this.#find(name)
      const attributes = change(found?.topic ?? null)
      if (attributes === null) return
      if (await this.#write({ ...name, attributes }, found?.writeId ?? null)) return
    }
    const message = 'others are changing the topic'
    throw new ServiceError('Throttled', message, { status: 503, retryAfterSeconds: 1 })
  }

  async remove(name: TopicName): Promise<void> {
    await this.#backend.deleteObject(this.#place(name))
  }

  /** Names of the account's topics behind `after`, at most `limit`. */
  async names(account: string, after: string, limit: number): Promise<readonly string[]> {
    const prefix = `${account}/`
    const marker = after === '' ? {} : { marker: prefix + after }
    const query = { prefix, limit, ...marker }
    const page = await this.#backend.listContainer(ACCOUNT, CONTAINER, query)
    return (page?.entries ?? []).flatMap((row) =>
      'subdir' in row ? [] : [row.name.slice(prefix.length)],
    )
  }

  async #find(
    name: TopicName,
  ): Promise<{ readonly topic: Topic; readonly writeId: string } | null> {
    const read = await this.#backend.readObject(this.#place(name))
    if (read === null) return null
    const text = Buffer.from(await wholeBody(read)).toString()
    const { attributes } = JSON.parse(text) as { readonly attributes: TopicAttributes }
    return { topic: { ...name, attributes }, writeId: read.info.writeId }
  }

  async #write({ attributes, ...name }: Topic, ifWriteId: string | null): Promise<boolean> {
    const body = Buffer.from(JSON.stringify({ format: 1, attributes }))
    const meta = { etag: hash('md5', body, 'hex'), contentType: 'application/json', headers: {} }
    const place = this.#place(name)
    const put = () => this.#backend.putObject(place, { meta, body, condition: { ifWriteId } })
    return (await inOwnContainer(this.#backend, place, put)).status === 'done'
  }

  #place({ account, name }: TopicName): ObjectPath {
    const object = `${account}/${name}`
    return { account: ACCOUNT, container: CONTAINER, object, policy: this.#policy }
  }
}
