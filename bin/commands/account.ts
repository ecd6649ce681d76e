import { resolve } from 'node:path'
import { Command } from 'commander'
import { formatBytes } from '../../common/config.ts'
import { ServiceError } from '../../common/errors.ts'
import { dataPaths } from '../data-folder.ts'
import { DEFAULT_DATA } from '../defaults.ts'
import { wholeNumber } from '../option-values.ts'
import { type StoreAnswer, StoreClient } from '../store-client.ts'

interface DataOption {
  readonly data: string
  readonly json?: boolean
  readonly insecure?: boolean
}

interface ListOptions extends DataOption {
  readonly limit: number
  readonly marker?: string
  readonly prefix?: string
}

interface AccountLine {
  readonly name: string
  readonly containers: number
  readonly objects: number
  readonly bytes: number
  readonly deletedAt?: string
}

/** Accounts of one request. */
const PAGE_MAX = 1_000

/** `account list|show|delete`: asks the Swiftlet that runs on the data folder, as its administrator. */
export function accountCommand(): Command {
  return new Command('account')
    .description('list, show and delete storage accounts of a running Swiftlet')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(deleteCommand())
}

function listCommand(): Command {
  return withData(new Command('list'))
    .description('accounts by name with their containers, objects and bytes')
    .option('--limit <n>', 'at most so many', wholeNumber({ min: 1, max: 1_000_000 }), PAGE_MAX)
    .option('--marker <account>', 'only those after it')
    .option('--prefix <text>', 'only those that begin so')
    .action(async (options: ListOptions) => {
      const client = await openClient(options)
      let left = options.limit
      let marker: string | null = options.marker ?? ''
      while (left > 0 && marker !== null) {
        const query = new URLSearchParams({ limit: String(Math.min(left, PAGE_MAX)), marker })
        if (options.prefix !== undefined) query.set('prefix', options.prefix)
        const answer = await client.call('GET', `/swiftlet/accounts?${query}`)
        expect(answer, 200, 'accounts')
        const page = JSON.parse(answer.body) as {
          readonly accounts: readonly AccountLine[]
          readonly next: string | null
        }
        for (const account of page.accounts) console.log(lineOf(account, options))
        left -= page.accounts.length
        marker = page.next
      }
      if (marker !== null && options.json !== true) console.error(`more: --marker ${marker}`)
    })
}

function showCommand(): Command {
  return withData(new Command('show').argument('<account>'))
    .description('what HEAD says of an account, such as AUTH_test')
    .action(async (account: string, options: DataOption) => {
      const client = await openClient(options)
      const answer = await client.call('HEAD', pathOf(account))
      if (answer.status !== 410) expect(answer, 204, account)
      const headers = Object.entries(answer.headers).filter(([name]) =>
        name.startsWith('x-account-'),
      )
      if (options.json === true) {
        console.log(JSON.stringify({ name: account, ...Object.fromEntries(headers) }))
        return
      }
      console.log(`account: ${account}`)
      for (const [name, value] of headers) {
        console.log(`${name.slice('x-account-'.length)}: ${String(value)}`)
      }
    })
}

function deleteCommand(): Command {
  return withData(new Command('delete').argument('<account>'))
    .description(
      'delete an account with all that is in it: gone at once, emptied in the background',
    )
    .requiredOption('--yes', 'it cannot be undone')
    .action(async (account: string, options: DataOption) => {
      const client = await openClient(options)
      expect(await client.call('DELETE', pathOf(account)), 204, account)
      console.log(
        options.json === true
          ? JSON.stringify({ name: account, deleted: true })
          : `deleted ${account}; the reaper empties it`,
      )
    })
}

function withData(command: Command): Command {
  return command
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .option('--json', 'one JSON object a line')
    .option('--insecure', 'over HTTPS, take a certificate that this machine does not trust')
}

function openClient(options: DataOption): Promise<StoreClient> {
  const { data, insecure = false } = options
  return StoreClient.open(dataPaths(resolve(data)), { insecure })
}

function pathOf(account: string): string {
  return `/v1/${encodeURIComponent(account)}`
}

function lineOf(account: AccountLine, { json }: ListOptions): string {
  if (json === true) return JSON.stringify(account)
  const { name, containers, objects, bytes, deletedAt } = account
  const deleted = deletedAt === undefined ? '' : ` deleted ${deletedAt}`
  return `${name} containers ${containers} objects ${objects} bytes ${formatBytes(bytes)}${deleted}`
}

function expect(answer: StoreAnswer, status: number, what: string): void {
  if (answer.status === status) return
  const isDeleted = answer.headers['x-account-status'] === 'Deleted'
  const why = isDeleted ? 'is deleted already' : `was answered with ${answer.status}`
  throw new ServiceError('Refused', `${what} ${why}`, { status: answer.status })
}
