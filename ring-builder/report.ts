import type { RingDevice } from '../common/ring/ring.ts'
import { bracketed } from './address.ts'
import { balanceByDevice, worstBalance } from './balance-figures.ts'
import { type Builder, minPartSecondsLeft, partsByDevice, presentDevices } from './builder.ts'
import type { TierDispersion } from './dispersion.ts'

/** The texts that people and scripts read: in the columns of swift-ring-builder. */

/** A time as Python's timedelta prints it: `0:59:59`, `1 day, 0:00:00`. */
export function hoursText(seconds: number): string {
  const days = Math.floor(seconds / 86_400)
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const clock = `${Math.floor((seconds % 86_400) / 3600)}:${two((seconds % 3600) / 60)}:${two(seconds % 60)}`
  if (days === 0) return clock
  return `${days} day${days === 1 ? '' : 's'}, ${clock}`
}

/** The ring in three lines: what it consists of and how good it is. */
export function summaryLines(builder: Builder, nowS: number): readonly string[] {
  const devices = presentDevices(builder)
  const regions = new Set(devices.map((device) => device.region)).size
  const zones = new Set(devices.map((device) => `${device.region} ${device.zone}`)).size
  const idBytes = devices.length <= 0xffff ? 2 : 4
  const balance = hasWeight(builder) ? worstBalance(builder) : 0
  const dispersion =
    builder.dispersion === null ? '' : `, ${builder.dispersion.toFixed(2)} dispersion`
  const remaining = hoursText(minPartSecondsLeft(builder, nowS))
  return [
    `${2 ** builder.partPower} partitions, ${builder.replicas.toFixed(6)} replicas, ${regions} regions, ${zones} zones, ` +
      `${devices.length} devices, ${idBytes}-byte IDs, ${balance.toFixed(2)} balance${dispersion}`,
    `The minimum number of hours before a partition can be reassigned is ${builder.minPartHours} (${remaining} remaining)`,
    `The overload factor is ${(builder.overload * 100).toFixed(2)}% (${builder.overload.toFixed(6)})`,
  ]
}

export function hasWeight(builder: Builder): boolean {
  return presentDevices(builder).some((device) => device.weight > 0)
}

/** One line per device, sorted by place, under a header. */
export function deviceTable(
  builder: Builder,
  devices: readonly RingDevice[] = [...presentDevices(builder)].sort(byPlace),
): readonly string[] {
  const parts = partsByDevice(builder)
  const balances = hasWeight(builder) ? balanceByDevice(builder) : new Map<number, number>()
  const rows = devices.map((device) => [
    String(device.id),
    String(device.region),
    String(device.zone),
    `${bracketed(device.ip)}:${device.port}`,
    `${bracketed(device.replicationIp)}:${device.replicationPort}`,
    device.device,
    device.weight.toFixed(2),
    String(parts[device.id]!),
    (balances.get(device.id) ?? 0).toFixed(2),
    builder.removedIds.includes(device.id) ? 'DEL' : '',
    device.meta,
  ])
  return table(
    [
      'id',
      'region',
      'zone',
      'ip address:port',
      'replication ip:port',
      'name',
      'weight',
      'partitions',
      'balance',
      'flags',
      'meta',
    ],
    rows,
  ).map((line, at) => `${at === 0 ? 'Devices:' : '        '} ${line}`.trimEnd())
}

/** One line per tier: how many partitions have 0, 1, 2 … replicas in it. */
export function dispersionTable(tiers: readonly TierDispersion[]): readonly string[] {
  const counts = tiers[0]?.partitionsByReplicas.map((_, replicas) => String(replicas)) ?? []
  const rows = tiers.map((tier) => [
    tier.name,
    String(tier.placed),
    tier.dispersion.toFixed(2),
    String(tier.replicasMax),
    ...tier.partitionsByReplicas.map(String),
  ])
  const lines = table(['Tier', 'Parts', '%', 'Max', ...counts], rows, {
    leftColumns: 1,
    freeText: false,
  })
  const rule = '-'.repeat(lines[0]!.length)
  return [rule, lines[0]!, rule, ...lines.slice(1)]
}

function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: { readonly leftColumns: number; readonly freeText: boolean } = {
    leftColumns: 0,
    freeText: true,
  },
): readonly string[] {
  const widths = header.map((name, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]!.length), name.length),
  )
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) => {
        const free = options.freeText && column === row.length - 1
        if (column < options.leftColumns || free) return cell.padEnd(widths[column]!)
        return cell.padStart(widths[column]!)
      })
      .join(' '),
  )
}

function byPlace(a: RingDevice, b: RingDevice): number {
  if (a.region !== b.region) return a.region - b.region
  if (a.zone !== b.zone) return a.zone - b.zone
  if (a.ip !== b.ip) return a.ip < b.ip ? -1 : 1
  return a.device < b.device ? -1 : 1
}
