import { ServiceError } from '../common/errors.ts'
import type { StoragePolicy } from './proxy-options.ts'

/** The cluster's storage policies, found by index or by any of their names (case does not matter). */
export class Policies {
  readonly all: readonly StoragePolicy[]
  readonly default: StoragePolicy
  readonly #byName = new Map<string, StoragePolicy>()
  readonly #byIndex = new Map<number, StoragePolicy>()

  /** Throws if there is no default policy, or a name or index is given twice. */
  constructor(policies: readonly StoragePolicy[]) {
    this.all = policies
    for (const policy of policies) this.#add(policy)
    const defaults = policies.filter((policy) => policy.default)
    if (defaults.length !== 1) throw misconfigured('exactly one storage policy must be the default')
    this.default = defaults[0]!
  }

  byIndex(index: number): StoragePolicy | undefined {
    return this.#byIndex.get(index)
  }

  /** What X-Storage-Policy asks for; a 400 for an unknown or deprecated one. */
  requested(name: string): StoragePolicy {
    const policy = this.#byName.get(name.toLowerCase())
    if (policy === undefined) {
      throw new ServiceError('BadPolicy', `Invalid X-Storage-Policy '${name}'`, { status: 400 })
    }
    if (policy.deprecated === true) {
      throw new ServiceError('BadPolicy', `Storage Policy '${policy.name}' is deprecated`, {
        status: 400,
      })
    }
    return policy
  }

  #add(policy: StoragePolicy): void {
    if (this.#byIndex.has(policy.index))
      throw misconfigured(`policy index ${policy.index} is taken`)
    this.#byIndex.set(policy.index, policy)
    for (const name of [policy.name, ...(policy.aliases ?? [])]) {
      if (this.#byName.has(name.toLowerCase())) throw misconfigured(`policy name ${name} is taken`)
      this.#byName.set(name.toLowerCase(), policy)
    }
  }
}

function misconfigured(message: string): ServiceError {
  return new ServiceError('BadConfiguration', message)
}
