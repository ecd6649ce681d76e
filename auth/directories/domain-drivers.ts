import type { DirectoryOptions } from '../drivers/directory-options.ts'
import { directoryUnfit, type IdentityDriver } from '../drivers/identity-driver.ts'
import { openLdapDriver } from '../drivers/ldap-driver.ts'
import { openPamDriver } from '../drivers/pam-driver.ts'
import type { PamHelperOptions } from '../drivers/pam-helper.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { Extra } from '../tables/rows.ts'
import type { DomainConfigRow } from './directory-tables.ts'
import { optionsOf } from './domain-config-rows.ts'
import { substituted } from './domain-options.ts'

interface OpenDriver {
  /** The options that it was opened with. */
  readonly options: string
  readonly driver: Promise<IdentityDriver | null>
}

/** The drivers of domains, opened when they are first needed and again when the configuration has changed. */
export class DomainDrivers {
  readonly #parts: Pick<IdentityParts, 'state' | 'secrets'>
  readonly #pam: PamHelperOptions
  readonly #open = new Map<string, OpenDriver>()
  #closed = false

  constructor(parts: Pick<IdentityParts, 'state' | 'secrets'>, pam: PamHelperOptions) {
    this.#parts = parts
    this.#pam = pam
  }

  /** Null for a domain whose users are the service's own. Throws 503 `DirectoryUnfit`. */
  async of(domainId: string): Promise<IdentityDriver | null> {
    const row = await optionsOf(this.#parts, this.#parts.state, domainId)
    const options = JSON.stringify(row)
    const before = this.#open.get(domainId)
    if (before?.options === options) return before.driver
    if (before !== undefined) {
      this.#open.delete(domainId)
      await closed(before)
    }
    if (this.#closed || row.identity?.driver === undefined) return null
    const opened = { options, driver: this.#opened(row) }
    this.#open.set(domainId, opened)
    return opened.driver
  }

  /** Closes those of domains that are gone or have another configuration now. */
  async closeUnneeded(): Promise<void> {
    for (const [domainId, opened] of this.#open) {
      const options = JSON.stringify(await optionsOf(this.#parts, this.#parts.state, domainId))
      if (options === opened.options || this.#open.get(domainId) !== opened) continue
      this.#open.delete(domainId)
      await closed(opened)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open.values()].map(closed))
    this.#open.clear()
  }

  async #opened(options: DomainConfigRow['options']): Promise<IdentityDriver | null> {
    const group = (name: string): DirectoryOptions => substituted(options[name] ?? ({} as Extra))
    const driver = options.identity?.driver
    switch (driver) {
      case 'sql':
        return null
      case 'ldap':
        return openLdapDriver(group('ldap'))
      case 'pam':
        return openPamDriver(group('pam'), this.#pam)
      default:
        throw directoryUnfit(`the driver ${JSON.stringify(driver)} is not known`)
    }
  }
}

async function closed({ driver }: OpenDriver): Promise<void> {
  const opened = await driver.catch(() => null)
  await opened?.close()
}
