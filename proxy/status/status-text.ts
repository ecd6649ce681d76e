/** The state of a cluster as a tree in a terminal: pure. */
import type { DeviceStatus } from '../../common/storage-node.ts'
import type { ClusterStatus, DeviceView, NodeStatus, WorkStatus } from './cluster-status.ts'
import { fullnessOf, ringName, type Severity } from './findings.ts'
import { agoText, bytesText, countText, durationText } from './quantity-text.ts'

export interface TextOptions {
  /** ANSI colours. */
  readonly colour: boolean
}

const BAR_CELLS = 20
const COLOURS = { red: 31, yellow: 33, green: 32, grey: 90 } as const
type Paint = (colour: keyof typeof COLOURS, text: string) => string

/** Lines without a newline at the end. */
export function statusText(status: ClusterStatus, options: TextOptions): string {
  const paint: Paint = (colour, text) =>
    options.colour ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text
  const { takenAtMs } = status
  return [
    `cluster  ${paint(HEALTH_COLOURS[status.health], status.health)}  ${usedText(status)}  ${paint('grey', new Date(takenAtMs).toISOString())}`,
    ...(status.work.moving + status.work.repairing > 0 ? [workText(status.work)] : []),
    '',
    ...treeLines(status, paint),
    '',
    ...ringLines(status, paint),
    ...(status.findings.length === 0 ? [] : ['', ...findingLines(status, paint)]),
  ].join('\n')
}

const HEALTH_COLOURS = { well: 'green', degraded: 'yellow', refusing: 'red' } as const
const SEVERITY_COLOURS: Readonly<Record<Severity, keyof typeof COLOURS>> = {
  alarm: 'red',
  warning: 'yellow',
  note: 'grey',
}

/** `123 GiB of 300 GiB used (41 %)`. */
export function usedText({ bytesUsed, bytesTotal }: ClusterStatus): string {
  if (bytesTotal === 0) return 'no device answers'
  const percent = Math.round((bytesUsed / bytesTotal) * 100)
  return `${bytesText(bytesUsed)} of ${bytesText(bytesTotal)} used (${percent} %)`
}

/** `moving 120 partitions, repairing 3; about 4 min left`. */
export function workText(work: WorkStatus): string {
  const { moving, repairing, bytesPerSecond, remainingMs } = work
  const rate = bytesPerSecond === null ? '' : ` at ${bytesText(bytesPerSecond)}/s`
  const what = [
    ...(moving > 0 ? [`moving ${countText(moving)} partitions${rate}`] : []),
    ...(repairing > 0 ? [`bringing ${countText(repairing)} partitions in step`] : []),
  ].join(', ')
  const left =
    remainingMs === null ? 'how long is not known yet' : `about ${durationText(remainingMs)} left`
  return `${what}; ${left}`
}

function treeLines(status: ClusterStatus, paint: Paint): readonly string[] {
  const lines: string[] = []
  for (const { region, zones } of status.regions) {
    lines.push(`region ${region}`)
    for (const [z, { zone, nodes }] of zones.entries()) {
      const [zoneBranch, zoneStem] = branch(z, zones)
      lines.push(`${zoneBranch}zone ${zone}`)
      for (const [n, node] of nodes.entries()) {
        const [nodeBranch, nodeStem] = branch(n, nodes)
        lines.push(`${zoneStem}${nodeBranch}${node.address}  ${nodeText(node, paint)}`)
        const width = Math.max(...node.devices.map(({ name }) => name.length))
        for (const [d, device] of node.devices.entries()) {
          const [deviceBranch] = branch(d, node.devices)
          const text = deviceText(device, { width, nowMs: status.takenAtMs, paint })
          lines.push(`${zoneStem}${nodeStem}${deviceBranch}${text}`)
        }
      }
    }
  }
  return lines
}

function branch(index: number, siblings: readonly unknown[]): readonly [string, string] {
  return index === siblings.length - 1 ? ['└─ ', '   '] : ['├─ ', '│  ']
}

function nodeText({ unreachable }: NodeStatus, paint: Paint): string {
  return unreachable === '' ? paint('green', 'up') : paint('red', `unreachable: ${unreachable}`)
}

function deviceText(
  { name, status, partitions, weight }: DeviceView,
  view: { readonly width: number; readonly nowMs: number; readonly paint: Paint },
): string {
  const { width, nowMs, paint } = view
  const label = name.padEnd(width)
  const share = weight === 0 ? 'drained' : `${countText(partitions)} replicas`
  if (status === null) return `${label}  ${paint('red', 'unknown')}    ${share}`
  const state = paint(status.state === 'online' ? 'green' : 'red', status.state.padEnd(9))
  const fullness = fullnessOf(status)
  const bar = paint(fullness > 0.85 ? 'yellow' : 'grey', barText(fullness))
  const percent = `${Math.round(fullness * 100)} %`.padStart(5)
  const bytes = `${bytesText(status.bytesFree)} free`
  return [
    `${label}  ${state} ${bar}${percent}`,
    bytes,
    share,
    ...conditionTexts(status, nowMs),
  ].join('  ')
}

function barText(share: number): string {
  const full = Math.round(share * BAR_CELLS)
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full)
}

/** What is known of a device beside its room: damage, replication, scrub. */
export function conditionTexts(status: DeviceStatus, nowMs: number): readonly string[] {
  const { damage, replication, scrub } = status
  return [
    ...(status.learning === true ? ['learning from its replicas'] : []),
    ...(damage.length > 0 ? [`damage at ${countText(damage.length)} places`] : []),
    ...(replication === undefined ? [] : [replicationText(replication, nowMs)]),
    ...(scrub === undefined ? [] : [scrubText(scrub, nowMs)]),
  ]
}

function replicationText(
  replication: NonNullable<DeviceStatus['replication']>,
  nowMs: number,
): string {
  const { passedAtMs, inStepAtMs, differing, unreachable, handoffs, damaged } = replication
  if (passedAtMs === 0) return 'not compared yet'
  if (differing + unreachable + handoffs + damaged === 0) {
    return `in step ${agoText(nowMs - passedAtMs)}`
  }
  return inStepAtMs === 0 ? 'not in step' : `behind since ${durationText(nowMs - inStepAtMs)}`
}

function scrubText(scrub: NonNullable<DeviceStatus['scrub']>, nowMs: number): string {
  if (scrub.isRunning) return 'being verified'
  return scrub.endedAtMs === 0
    ? 'not verified since its start'
    : `verified ${agoText(nowMs - scrub.endedAtMs)}`
}

function ringLines({ rings }: ClusterStatus, paint: Paint): readonly string[] {
  const head = ['ring', 'version', 'partitions', 'replicas', 'degraded', 'refusing', 'moving']
  const rows = rings.map((ring) => [
    ringName(ring),
    String(ring.version),
    ...[ring.partitions, ring.replicas, ring.degraded, ring.refusing, ring.moving].map(String),
  ])
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]!.length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
  return [paint('grey', line(head)), ...rows.map(line)]
}

function findingLines({ findings }: ClusterStatus, paint: Paint): readonly string[] {
  return findings.map(
    ({ severity, where, text }) =>
      `${paint(SEVERITY_COLOURS[severity], severity.padEnd(7))}  ${where}: ${text}`,
  )
}
