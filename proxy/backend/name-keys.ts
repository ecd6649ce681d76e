import {
  accountName,
  containerName,
  type ItemHashing,
  type ItemKey,
  itemKey,
  objectName,
} from '../../common/item.ts'
import type { ObjectPath } from './backend.ts'
import { LastContainer } from './last-container.ts'

/** Container keys kept: each saves an MD5 on every object written to it. */
const CONTAINERS_KEPT_MAX = 10_000

/** A path that may stop at its account or container. */
export interface ItemPath {
  readonly account: string
  readonly container?: string | undefined
  readonly object?: string | undefined
  readonly policy: number
}

/** Keys of the names a request speaks of. */
export class NameKeys {
  readonly #hashing: ItemHashing
  readonly #containers = new Map<string, ItemKey>()
  readonly #last = new LastContainer<ItemKey>()

  constructor(hashing: ItemHashing) {
    this.#hashing = hashing
  }

  account(account: string): ItemKey {
    return itemKey(this.#hashing, 'account', accountName(account))
  }

  container(account: string, container: string): ItemKey {
    const last = this.#last.get(account, container)
    if (last !== undefined) return last
    const name = containerName(account, container)
    const key = this.#containers.get(name) ?? this.#makeContainer(name)
    this.#last.note(account, container, key)
    return key
  }

  #makeContainer(name: string): ItemKey {
    const key = itemKey(this.#hashing, 'container', name)
    if (this.#containers.size >= CONTAINERS_KEPT_MAX) this.#containers.clear()
    this.#containers.set(name, key)
    return key
  }

  /** Of whatever the path names: an object, or the container or account that it stops at. */
  of({ account, container, object, policy }: ItemPath): ItemKey {
    if (container === undefined) return this.account(account)
    if (object === undefined) return this.container(account, container)
    return this.object({ account, container, object, policy })
  }

  object(path: ObjectPath): ItemKey {
    const name = objectName(path.account, path.container, path.object)
    return itemKey(this.#hashing, 'object', name, path.policy)
  }
}
