import { resolve } from 'node:path'
import { Command } from 'commander'
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKind } from '../../common/item.ts'
import { locateItem } from '../../common/ring/located.ts'
import { placementOf } from '../../common/ring/ring-set.ts'
import { ringSetOf } from '../../common/ring/ring-set-file.ts'
import { readTextFile } from '../../common/whole-file.ts'
import type { ItemReport } from '../../proxy/status/item-report.ts'
import { dataPaths } from '../data-folder.ts'
import {
  type DataOptions,
  listRows,
  openStoreClient,
  storePath,
  withDataOptions,
} from '../data-options.ts'
import { wholeNumber } from '../option-values.ts'
import { startProgress } from '../progress.ts'
import { readRingSet } from '../ring-folder.ts'
import { decodeSettings } from '../settings.ts'
import type { StoreClient } from '../store-client.ts'

interface DispersionOptions extends DataOptions {
  readonly coverage: number
  readonly concurrency: number
  readonly account: string
}

const OBJECTS = 'dispersion_objects'
const CONTAINERS = 'dispersion_'
/** Names that are tried for a partition that has none yet, for each that is wanted. */
const TRIES_MAX = 100

/** `swiftlet dispersion populate|report`: samples of the partitions, and how many of their replicas are there. */
export function dispersionCommand(): Command {
  return new Command('dispersion')
    .description('put a sample into a share of all partitions, and see how much of it is there')
    .addCommand(
      withCommon(new Command('populate'))
        .description('write containers and objects that fall into so many partitions')
        .option('--coverage <percent>', 'of all partitions', wholeNumber({ min: 1, max: 100 }), 1)
        .action(populate),
    )
    .addCommand(
      withCommon(new Command('report'))
        .description('ask every device for its replicas of the sample')
        .addHelpText('after', '\nExit code 0 if all copies are there, 1 otherwise.')
        .action(report),
    )
}

function withCommon(command: Command): Command {
  return withDataOptions(command)
    .option('--account <account>', 'where the sample is kept', 'AUTH_dispersion')
    .option('--concurrency <n>', 'asked for at once', wholeNumber({ min: 1, max: 100 }), 8)
}

async function populate(options: DispersionOptions): Promise<void> {
  const { account, concurrency } = options
  const client = await openStoreClient(options)
  await put(client, storePath(account, OBJECTS))
  const containers = await namesOfPartitions(options, 'container')
  const objects = await namesOfPartitions(options, 'object')
  const progress = startProgress('samples', containers.length + objects.length)
  try {
    await forEachParallel(containers, concurrency, async (name) => {
      await put(client, storePath(account, name))
      progress.add(1)
    })
    await forEachParallel(objects, concurrency, async (name) => {
      await put(client, storePath(account, OBJECTS, name))
      progress.add(1)
    })
  } finally {
    progress.end()
  }
  console.log(
    options.json === true
      ? JSON.stringify({ containers: containers.length, objects: objects.length })
      : `wrote ${containers.length} containers and ${objects.length} objects into ${account}`,
  )
}

async function put(client: StoreClient, path: string): Promise<void> {
  const { status } = await client.call('PUT', path, { headers: { 'content-length': '0' } })
  if (status < 200 || status > 299) {
    throw new ServiceError('Refused', `PUT ${path} was answered with ${status}`, { status })
  }
}

/** One name for each of so many partitions, found by trying. */
async function namesOfPartitions(
  { data, account, coverage }: DispersionOptions,
  kind: ItemKind & ('container' | 'object'),
): Promise<readonly string[]> {
  const paths = dataPaths(resolve(data))
  const settings = decodeSettings((await readTextFile(paths.settings))!, paths.settings)
  const set = ringSetOf(readRingSet(paths.rings))
  const policy = settings.policies.find((one) => one.default)?.index ?? 0
  const { ring } = placementOf(set, kind, kind === 'object' ? policy : 0)
  const wanted = Math.max(1, Math.floor((ring.partitionCount * coverage) / 100))
  const found = new Map<number, string>()
  for (let i = 0; found.size < wanted && i < wanted * TRIES_MAX; i++) {
    const name = kind === 'container' ? `${CONTAINERS}${i}` : `sample_${i}`
    const item =
      kind === 'container'
        ? { account, container: name }
        : { account, container: OBJECTS, object: name, policy }
    const { partition } = locateItem(set, settings.hashing, item)
    if (!found.has(partition)) found.set(partition, name)
  }
  return [...found.values()]
}

/** Copies that were found of those that are to be there. */
interface Tally {
  items: number
  wanted: number
  found: number
  errors: number
}

async function report(options: DispersionOptions): Promise<void> {
  const client = await openStoreClient(options)
  const { account } = options
  const tallies = { container: newTally(), object: newTally() }
  const progress = startProgress('samples', 0)
  try {
    await check({ path: storePath(account), query: { prefix: CONTAINERS }, kind: 'container' })
    await check({ path: storePath(account, OBJECTS), query: {}, kind: 'object' })
  } finally {
    progress.end()
  }
  async function check(sample: {
    readonly path: string
    readonly query: Readonly<Record<string, string>>
    readonly kind: 'container' | 'object'
  }): Promise<void> {
    const tally = tallies[sample.kind]
    for await (const page of listRows(client, sample.path, sample.query)) {
      const names = page.map(({ name }) => name).filter((name) => name !== OBJECTS)
      await forEachParallel(names, options.concurrency, async (name) => {
        const query =
          sample.kind === 'container'
            ? new URLSearchParams({ account, container: name })
            : new URLSearchParams({ account, container: OBJECTS, object: name })
        addTo(tally, await client.get<ItemReport>(`/swiftlet/replicas?${query}`))
        progress.add(1, tallies.container.items + tallies.object.items)
      })
    }
  }
  process.exitCode = isWhole(tallies.container) && isWhole(tallies.object) ? 0 : 1
  if (options.json === true) console.log(JSON.stringify(tallies))
  else for (const [kind, tally] of Object.entries(tallies)) console.log(lineOf(kind, tally))
}

function newTally(): Tally {
  return { items: 0, wanted: 0, found: 0, errors: 0 }
}

function addTo(tally: Tally, { replicas }: ItemReport): void {
  tally.items++
  tally.wanted += replicas.length
  tally.found += replicas.filter(({ record }) => record !== null && !record.deleted).length
  tally.errors += replicas.filter(({ error }) => error !== '').length
}

function isWhole({ items, wanted, found }: Tally): boolean {
  return items > 0 && wanted === found
}

function lineOf(kind: string, { items, wanted, found, errors }: Tally): string {
  const share = wanted === 0 ? 0 : (found / wanted) * 100
  return `${items} ${kind}s: ${share.toFixed(2)} % of copies found (${found} of ${wanted}), ${errors} not answered`
}
