import { Command } from 'commander'
import { ServiceError } from '../../common/errors.ts'
import {
  type DataOptions,
  listRows,
  openStoreClient,
  storePath,
  withDataOptions,
} from '../data-options.ts'
import { startProgress } from '../progress.ts'

interface DeleterOptions extends DataOptions {
  readonly prefix?: string
  readonly container?: boolean
}

interface Report {
  readonly 'Number Deleted': number
  readonly 'Number Not Found': number
  readonly 'Response Status': string
  readonly 'Response Body': string
  readonly Errors: readonly (readonly [string, string])[]
}

/** Names of one request: as many as a bulk delete takes. */
const NAMES_MAX = 5_000

/** `swiftlet container-deleter`: empties a container by bulk deletes. */
export function containerDeleterCommand(): Command {
  return withDataOptions(new Command('container-deleter'))
    .description('delete all objects of a container of a running Swiftlet')
    .argument('<account>')
    .argument('<container>')
    .option('--prefix <text>', 'only those that begin so')
    .option('--container', 'and the container itself')
    .requiredOption('--yes', 'it cannot be undone')
    .action(emptyContainer)
}

async function emptyContainer(
  account: string,
  container: string,
  options: DeleterOptions,
): Promise<void> {
  const client = await openStoreClient(options)
  const path = storePath(account, container)
  const head = await client.call('HEAD', path)
  const progress = startProgress('objects', Number(head.headers['x-container-object-count'] ?? 0))
  const prefix = options.prefix === undefined ? {} : { prefix: options.prefix }
  let deleted = 0
  const remove = async (names: readonly string[]) => {
    const answer = await client.call('POST', `${storePath(account)}?bulk-delete`, {
      headers: { accept: 'application/json', 'content-type': 'text/plain' },
      body: names.map((name) => encodeURIComponent(name)).join('\n'),
    })
    const report = JSON.parse(answer.body) as Report
    deleted += report['Number Deleted']
    progress.add(names.length)
    if (report.Errors.length === 0 && report['Response Status'].startsWith('2')) return
    const [first] = report.Errors
    const why = first === undefined ? report['Response Body'] : first.join(': ')
    throw new ServiceError(
      'Refused',
      `${deleted} deleted, then: ${report['Response Status']} ${why}`,
    )
  }
  try {
    const query = { ...prefix, limit: String(NAMES_MAX) }
    for await (const page of listRows(client, path, query)) {
      await remove(page.map(({ name }) => `/${container}/${name}`))
    }
    if (options.container === true) await remove([`/${container}`])
  } finally {
    progress.end()
  }
  console.log(options.json === true ? JSON.stringify({ deleted }) : `deleted ${deleted}`)
}
