import { Command } from 'commander'
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemReport } from '../../proxy/status/item-report.ts'
import {
  type DataOptions,
  listRows,
  openStoreClient,
  storePath,
  withDataOptions,
} from '../data-options.ts'
import { wholeNumber } from '../option-values.ts'
import { startProgress } from '../progress.ts'
import type { StoreClient } from '../store-client.ts'
import { isComplete } from './item-info.ts'

interface AuditOptions extends DataOptions {
  readonly container?: string
  readonly concurrency: number
}

interface Row {
  readonly name: string
  readonly count?: number
}

/** `swiftlet account-audit`: whether all of an account is there on every device that is to hold it. */
export function accountAuditCommand(): Command {
  return withDataOptions(new Command('account-audit'))
    .description('compare all replicas of an account, its containers and their objects')
    .argument('<account>')
    .option('--container <name>', 'this one only')
    .option('--concurrency <n>', 'asked for at once', wholeNumber({ min: 1, max: 100 }), 8)
    .addHelpText('after', '\nExit code 0 if nothing is missing or differs, 1 otherwise.')
    .action(async (account: string, options: AuditOptions) => {
      const audit = new AccountAudit(await openStoreClient(options), account, options)
      await audit.run()
      process.exitCode = audit.problems === 0 ? 0 : 1
    })
}

class AccountAudit {
  problems = 0
  readonly #client: StoreClient
  readonly #account: string
  readonly #options: AuditOptions
  readonly #checked = { account: 0, container: 0, object: 0 }
  readonly #progress = startProgress('objects', 0)
  #known = 0

  constructor(client: StoreClient, account: string, options: AuditOptions) {
    this.#client = client
    this.#account = account
    this.#options = options
  }

  async run(): Promise<void> {
    const { container } = this.#options
    try {
      await this.#check({ account: this.#account })
      if (container !== undefined) await this.#container(container)
      else {
        for await (const page of listRows<Row>(this.#client, storePath(this.#account))) {
          for (const row of page) this.#known += row.count ?? 0
          for (const row of page) await this.#container(row.name)
        }
      }
    } finally {
      this.#progress.end()
    }
    const { account, container: containers, object } = this.#checked
    const { problems } = this
    if (this.#options.json === true)
      console.log(JSON.stringify({ account, containers, objects: object, problems }))
    else console.log(`${containers} containers, ${object} objects: ${problems} problems`)
  }

  async #container(container: string): Promise<void> {
    await this.#check({ account: this.#account, container })
    for await (const page of listRows<Row>(this.#client, storePath(this.#account, container))) {
      await forEachParallel(page, this.#options.concurrency, async ({ name }) => {
        await this.#check({ account: this.#account, container, object: name })
        this.#progress.add(1, Math.max(this.#known, this.#checked.object))
      })
    }
  }

  async #check(name: Readonly<Record<string, string>>): Promise<void> {
    const query = new URLSearchParams(name)
    const report = await this.#client
      .get<ItemReport>(`/swiftlet/replicas?${query}`)
      .catch((error: unknown) => {
        if (!(error instanceof ServiceError)) throw error
        return null
      })
    const kind = report?.kind ?? 'object'
    this.#checked[kind]++
    if (report !== null && isComplete(report)) return
    this.problems++
    const missing = report?.replicas.filter(({ record }) => record === null || record.deleted) ?? []
    const where = missing.map(
      ({ address, device, error }) => `${address}/${device} ${error || 'has nothing'}`,
    )
    const why = where.length === 0 ? 'replicas differ' : where.join('; ')
    console.log(`${Object.values(name).join('/')}: ${why}`)
  }
}
