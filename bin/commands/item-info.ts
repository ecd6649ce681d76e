import { Command } from 'commander'
import type { ItemKind } from '../../common/item.ts'
import type { ItemReport, ReplicaReport } from '../../proxy/status/item-report.ts'
import { type DataOptions, openStoreClient, withDataOptions } from '../data-options.ts'
import { wholeNumber } from '../option-values.ts'

interface InfoOptions extends DataOptions {
  readonly handoffs: number
  readonly policy?: string
}

const PARTS: Readonly<Record<ItemKind, readonly string[]>> = {
  account: ['account'],
  container: ['account', 'container'],
  object: ['account', 'container', 'object'],
}

/** `swiftlet account-info|container-info|object-info`: what each device holds of it. Exit code 1 where they differ. */
export function itemInfoCommand(kind: ItemKind): Command {
  const command = withDataOptions(new Command(`${kind}-info`))
    .description(
      `what each device of a running Swiftlet holds of ${kind === 'container' ? 'a' : 'an'} ${kind}`,
    )
    .option('--handoffs <n>', 'ask so many stand-ins, too', wholeNumber({ min: 0, max: 100 }), 0)
    .addHelpText('after', '\nExit code 0 if all replicas are there and the same, 1 otherwise.')
  for (const part of PARTS[kind]) command.argument(`<${part}>`)
  if (kind === 'object') command.option('--policy <name>', 'where the container is gone')
  return command.action(async (...args: unknown[]) => {
    const names = args.slice(0, PARTS[kind].length) as string[]
    await printInfo(kind, names, args[PARTS[kind].length] as InfoOptions)
  })
}

async function printInfo(kind: ItemKind, names: readonly string[], options: InfoOptions) {
  const client = await openStoreClient(options)
  const query = new URLSearchParams({ handoffs: String(options.handoffs) })
  for (const [at, part] of PARTS[kind].entries()) query.set(part, names[at]!)
  if (options.policy !== undefined) query.set('policy', options.policy)
  const report = await client.get<ItemReport>(`/swiftlet/replicas?${query}`)
  process.exitCode = isComplete(report) ? 0 : 1
  if (options.json === true) {
    console.log(JSON.stringify(report))
    return
  }
  console.log(`${report.kind}: ${report.name}`)
  console.log(`partition: ${report.partition}, policy ${report.policy}, hash ${report.hash}`)
  for (const replica of report.replicas) printReplica(replica)
}

/** Whether every primary has the same live record. */
export function isComplete({ replicas }: ItemReport): boolean {
  const primaries = replicas.filter(({ role }) => role === 'primary')
  const [first] = primaries
  if (first === undefined || first.record === null || first.record.deleted) return false
  const wanted = keyOf(first)
  return primaries.every((replica) => replica.error === '' && keyOf(replica) === wanted)
}

function keyOf({ record }: ReplicaReport): string {
  if (record === null) return ''
  const { deleted, writeId, metaTimestamp, etag, bytes } = record
  return [deleted, writeId, metaTimestamp, etag, bytes].join(' ')
}

function printReplica(replica: ReplicaReport): void {
  const { device, address, region, zone, role, error, record } = replica
  console.log(`\n${role} ${address} ${device} (region ${region}, zone ${zone})`)
  if (error !== '') console.log(`  not answered: ${error}`)
  else if (record === null) console.log('  nothing')
  if (record === null) return
  const { headers, ...fields } = record
  for (const [name, value] of Object.entries(fields))
    if (value !== '') console.log(`  ${name}: ${value}`)
  for (const [name, value] of Object.entries(headers)) console.log(`  ${name}: ${value}`)
}
