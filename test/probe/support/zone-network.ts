/**
 * Several hosts on one machine: a network namespace for each zone, joined by one that routes between them and can lose
 * what it is told to. Nothing outside the namespaces is touched, and all of them go with the test.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import type { Teardown } from './probe-folder.ts'

const run = promisify(execFile)

/** What happens to packets between a zone and the others. */
export const CUTS = ['both ways', 'from the zone', 'to the zone', 'a fifth is lost'] as const
export type Cut = (typeof CUTS)[number]

export interface ZoneNetwork {
  /** `10.77.3.1`: all of the zone's processes have it. */
  addressOf(zone: number): string
  /** The command line that runs in the zone. */
  commandIn(zone: number, command: readonly string[]): readonly string[]
  cut(zone: number, cut: Cut): Promise<void>
  /** Everything passes again. */
  heal(): Promise<void>
}

/** Why no network can be made here; null if it can. */
export async function missingForNetwork(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const probe = `swiftlet-${process.pid}-try`
  try {
    await run('ip', ['netns', 'add', probe])
    await runIn(probe, ['nft', CHAIN])
    return null
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? 'needs iproute2 and nftables' : `no namespaces: ${message.trim()}`
  } finally {
    await run('ip', ['netns', 'delete', probe]).catch(() => {})
  }
}

/**
 * The command for a program in the namespace. Not `ip netns exec`: that gives it mounts of its own, and a file system
 * that another test unmounts would live on in them.
 */
function commandIn(space: string, command: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/${space}`, '--', ...command]
}

async function runIn(space: string, command: readonly string[]): Promise<void> {
  const [program, ...args] = commandIn(space, command)
  await run(program!, args)
}

/** Makes it; it goes when the test ends. Zones are numbered from 1. */
export async function makeZoneNetwork(t: Teardown, zoneCount: number): Promise<ZoneNetwork> {
  const name = `swiftlet-${process.pid}`
  const router = `${name}-router`
  const zones = Array.from({ length: zoneCount }, (_, index) => index + 1)
  const nameOf = (zone: number) => `${name}-zone${zone}`
  const spaces = [...zones.map(nameOf), router]
  const watchdog = startWatchdog(spaces)
  t.teardown(async () => {
    for (const space of spaces) await run('ip', ['netns', 'delete', space]).catch(() => {})
    watchdog.kill('SIGKILL')
  })
  await run('ip', ['netns', 'add', router])
  for (const zone of zones) await addZone({ router, zone, space: nameOf(zone) })
  await runIn(router, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
  const filter = (rules: string) => runIn(router, ['nft', rules])
  await filter(CHAIN)
  return {
    addressOf: (zone) => `10.77.${zone}.1`,
    commandIn: (zone, command) => commandIn(nameOf(zone), command),
    async cut(zone, cut) {
      const rules = ruleText(cut, zone).map((rule) => `add rule ip cut forward ${rule}; `)
      await filter(`flush chain ip cut forward; ${rules.join('')}`)
    },
    async heal() {
      await filter('flush chain ip cut forward')
    },
  }
}

/** A test that is killed cannot clean up: this outlives it, then removes what it left. */
function startWatchdog(spaces: readonly string[]): ChildProcess {
  const script =
    'test=$1; shift; while kill -0 "$test"; do sleep 1; done; for space; do ip netns delete "$space"; done'
  const watchdog = spawn('sh', ['-c', script, 'sh', String(process.pid), ...spaces], {
    stdio: 'ignore',
    detached: true,
  })
  watchdog.unref()
  return watchdog
}

const CHAIN = 'add table ip cut; add chain ip cut forward { type filter hook forward priority 0; }'

function ruleText(cut: Cut, zone: number): readonly string[] {
  const from = `ip saddr 10.77.${zone}.0/24`
  const to = `ip daddr 10.77.${zone}.0/24`
  switch (cut) {
    case 'both ways':
      return [`${from} drop`, `${to} drop`]
    case 'from the zone':
      return [`${from} drop`]
    case 'to the zone':
      return [`${to} drop`]
    case 'a fifth is lost':
      return [`${from} ${FIFTH}`, `${to} ${FIFTH}`]
  }
}

const FIFTH = 'numgen random mod 100 < 20 drop'

async function addZone(options: {
  readonly router: string
  readonly zone: number
  readonly space: string
}): Promise<void> {
  const { router, zone, space } = options
  const [near, far] = [`10.77.${zone}.254`, `10.77.${zone}.1`]
  const port = `zone${zone}`
  await run('ip', ['netns', 'add', space])
  await run(
    'ip',
    `link add ${port} netns ${router} type veth peer name eth0 netns ${space}`.split(' '),
  )
  const steps = [
    `-n ${router} address add ${near}/24 dev ${port}`,
    `-n ${router} link set ${port} up`,
    `-n ${space} address add ${far}/24 dev eth0`,
    `-n ${space} link set eth0 up`,
    `-n ${space} link set lo up`,
    `-n ${space} route add default via ${near}`,
  ]
  for (const step of steps) await run('ip', step.split(' '))
}
