import t from 'tap'
import type { Placement } from '../../common/ring/placement.ts'
import type { Ring, RingDevice } from '../../common/ring/ring.ts'
import type { DeviceStatus, StorageNode } from '../../common/storage-node.ts'
import { onLoopback, ringOver } from '../../test/support/ring-over.ts'
import { SimClock } from '../../test/support/sim-clock.ts'
import { describeCluster, type NodeAnswer, StatusReader } from './cluster-status.ts'
import { agoText, bytesText, durationText } from './quantity-text.ts'
import { RemainingTime } from './remaining-time.ts'
import { PAGE_POLICY, statusPage } from './status-page.ts'
import { statusText } from './status-text.ts'

const NOW_MS = 1_800_000_000_000
const PORTS = [6200, 6201, 6202]

/** Three nodes of one device, each in a zone, eight partitions of three replicas. */
function placement(rotate = 0, previous: Ring | null = null): Placement {
  return { kind: 'object', policy: 0, ring: ring(rotate), previous }
}

function ring(rotate = 0, nodes = PORTS): Ring {
  return ringOver(onLoopback(nodes), { replicas: 3, partPower: 3, device: 'd', rotate })
}

function deviceStatus(change: Partial<DeviceStatus> = {}): DeviceStatus {
  return {
    device: 'd',
    state: 'online',
    reason: '',
    bytesTotal: 1000 * 2 ** 30,
    bytesFree: 600 * 2 ** 30,
    segments: 3,
    damage: [],
    replication: {
      compared: 16,
      differing: 0,
      unreachable: 0,
      handoffs: 0,
      damaged: 0,
      passedAtMs: NOW_MS - 4_000,
      passMs: 12,
      inStepAtMs: NOW_MS - 4_000,
    },
    scrub: { endedAtMs: 0, passMs: 0, bytes: 0, damaged: 0, isRunning: false },
    ...change,
  }
}

const up = (change?: Partial<DeviceStatus>): NodeAnswer => new Map([['d', deviceStatus(change)]])

const answersOf = (...answers: NodeAnswer[]) =>
  new Map(answers.map((answer, index) => [`127.0.0.1:${PORTS[index]}`, answer]))

t.test('a cluster that is well has nothing to be looked at', async (t) => {
  const status = await describeCluster([placement()], answersOf(up(), up(), up()), NOW_MS)
  t.match(status, {
    health: 'well',
    findings: [],
    bytesUsed: 1200 * 2 ** 30,
    bytesTotal: 3000 * 2 ** 30,
    rings: [{ kind: 'object', partitions: 8, degraded: 0, refusing: 0, moving: 0 }],
    work: { moving: 0, repairing: 0 },
  })
  t.strictSame(
    status.regions[0]!.zones.map(({ zone, nodes }) => [zone, nodes[0]!.address]),
    PORTS.map((port, index) => [index + 1, `127.0.0.1:${port}`]),
  )
  t.equal(status.regions[0]!.zones[0]!.nodes[0]!.devices[0]!.partitions, 8)
})

t.test('what is away makes partitions degraded, and without a majority they refuse', async (t) => {
  const one = await describeCluster([placement()], answersOf(up(), 'ECONNREFUSED', up()), NOW_MS)
  t.match(one, { health: 'degraded', rings: [{ degraded: 8, refusing: 0 }] })
  t.match(one.findings, [
    { severity: 'alarm', where: '127.0.0.1:6201', text: /does not answer: ECONNREFUSED/ },
    { severity: 'warning', where: 'object ring', text: /^8 of 8 partitions have a replica/ },
  ])
  const two = await describeCluster([placement()], answersOf('x', 'y', up()), NOW_MS)
  t.match(two, { health: 'refusing', rings: [{ degraded: 8, refusing: 8 }] })
  const offline = up({ state: 'offline', reason: 'gets a new index' })
  const rebuilt = await describeCluster([placement()], answersOf(up(), offline, up()), NOW_MS)
  t.match(rebuilt, { health: 'degraded', rings: [{ degraded: 8 }] })
  t.match(rebuilt.findings[0], { where: '127.0.0.1:6201/d', text: /offline: gets a new index/ })
  const strange = await describeCluster([placement()], answersOf(up(), new Map(), up()), NOW_MS)
  t.match(strange.findings[0], { severity: 'alarm', text: /its node does not know it/ })
})

t.test('a ring that changes: what moves is counted, and both rings are asked about', async (t) => {
  const before = ring(0, [6200, 6201, 6202])
  const moved = placement(1, before)
  t.match(await describeCluster([moved], answersOf(up(), up(), up()), NOW_MS), {
    rings: [{ moving: 0 }],
  })
  const four = [...PORTS, 6203]
  const wide: Placement = { kind: 'object', policy: 0, ring: ring(0, four), previous: before }
  const answers = new Map(four.map((port) => [`127.0.0.1:${port}`, up()]))
  const status = await describeCluster([wide], answers, NOW_MS)
  t.ok(status.rings[0]!.moving > 0)
  t.match(status, { health: 'well', findings: [{ severity: 'note', text: /are moving/ }] })
})

t.test('what moves, as the keeper of the rings says it', async (t) => {
  const movement = {
    left: 1_200,
    bytesPerSecond: 3 * 2 ** 20,
    secondsLeft: 240,
    troubles: ['127.0.0.1:6203 cannot be reached'],
  }
  const answers = answersOf(up(), up(), up())
  const status = await describeCluster([placement()], answers, NOW_MS, movement)
  t.match(status, { work: { moving: 1_200, remainingMs: 240_000 }, health: 'degraded' })
  t.match(status.findings, [{ severity: 'warning', where: 'movement', text: /6203/ }])
  t.match(
    statusText(status, { colour: false }),
    /^moving 1,200 partitions at 3\.0 MiB\/s; about 4 min left$/m,
  )
  const done = { ...movement, left: 0, secondsLeft: 0 }
  t.match(await describeCluster([placement()], answers, NOW_MS, done), {
    health: 'well',
    findings: [],
    work: { moving: 0, remainingMs: null },
  })
})

t.test('devices: full, nearly full, damaged, behind, long not verified', async (t) => {
  const findingOf = async (change: Partial<DeviceStatus>) => {
    const answers = answersOf(up(change), up(), up())
    return (await describeCluster([placement()], answers, NOW_MS)).findings[0]
  }
  const { replication, scrub } = deviceStatus()
  t.match(await findingOf({ state: 'full' }), { severity: 'alarm', text: /full/ })
  t.match(await findingOf({ bytesFree: 100 * 2 ** 30 }), { severity: 'warning', text: /90 % full/ })
  t.match(await findingOf({ damage: ['segment 3 at 77', 'x'] }), {
    severity: 'warning',
    text: /damage at 2 places \(segment 3 at 77\); nothing waits for repair/,
  })
  const behind = { ...replication!, differing: 3, handoffs: 2 }
  t.match(await findingOf({ replication: behind }), {
    severity: 'note',
    text: "3 partitions differ from a replica's, 2 are held for others; in step 4 s ago",
  })
  const long = { ...behind, inStepAtMs: NOW_MS - 5 * 3600 * 1000 }
  t.match(await findingOf({ replication: long }), { severity: 'warning', text: /in step 5 h ago/ })
  const old = { ...scrub!, endedAtMs: NOW_MS - 20 * 24 * 3600 * 1000 }
  t.match(await findingOf({ scrub: old }), { severity: 'warning', text: /verified last 20 d ago/ })
})

t.test(
  'nodes that hang are given up in time, and who asks meanwhile waits for the same',
  async (t) => {
    const clock = new SimClock()
    let asked = 0
    const nodeOf = ({ port }: RingDevice) =>
      ({
        status() {
          asked++
          return port === 6201 ? new Promise(() => {}) : Promise.resolve([deviceStatus()])
        },
      }) as unknown as StorageNode
    const reader = new StatusReader({ placements: () => [placement()], nodeOf, clock })
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const [first, second] = [reader.read(), reader.read()]
    await turn()
    clock.advance(2_000)
    t.equal(await first, await second)
    t.match(await first, {
      health: 'degraded',
      findings: [{ text: /no answer within 2000 ms/ }, {}],
    })
    t.equal(asked, 3)
    t.equal(await reader.read(), await first, 'and for a second after')
    clock.advance(1_500)
    const third = reader.read()
    await turn()
    clock.advance(2_000)
    await third
    t.equal(asked, 6)
  },
)

t.test('the tree and the page show all of it; names from elsewhere stay text', async (t) => {
  const nasty = '<script>alert(1)</script>'
  const answers = answersOf(up({ state: 'read-only', reason: nasty }), nasty, up())
  const status = await describeCluster([placement()], answers, NOW_MS)
  const tree = statusText(status, { colour: false })
  for (const part of [
    /^cluster {2}degraded {2}800 GiB of 2\.0 TiB used \(40 %\)/,
    /├─ zone 1\n│ {2}└─ 127\.0\.0\.1:6200 {2}up\n│ {5}└─ d {2}read-only ████████░{12} 40 %/,
    /in step 4 s ago {2}not verified since its start/,
    /127\.0\.0\.1:6201 {2}unreachable/,
    /d {2}unknown {4}8 replicas/,
    /^object +1 +8 +3 +8 +0 +0$/m,
    /^alarm {4}127\.0\.0\.1:6201: does not answer/m,
  ]) {
    t.match(tree, part)
  }
  t.notOk(tree.includes('\u001b'))
  t.ok(statusText(status, { colour: true }).includes('\u001b[33mdegraded\u001b[0m'))
  const page = statusPage(status)
  t.notMatch(page, /<script|style="|onload=|src=|href=/)
  t.match(page, /&lt;script&gt;alert\(1\)&lt;\/script&gt;/)
  t.match(page, /<rect class="fill bad" width="40%"/)
  t.match(PAGE_POLICY, /^default-src 'none'; style-src 'sha256-[\w+/]{43}='/)
})

t.test('how long it takes follows from how it went', async (t) => {
  const remaining = new RemainingTime()
  t.equal(remaining.observe(0, 0), 0)
  t.equal(remaining.observe(1_000, 100), null)
  t.equal(remaining.observe(2_000, 100), null)
  t.equal(remaining.observe(11_000, 50), 10_000)
  t.equal(remaining.observe(12_000, 80), null, 'more again: something new')
  t.equal(remaining.observe(22_000, 40), 10_000)
  t.equal(remaining.observe(23_000, 0), 0)
})

t.test('quantities as a person reads them', async (t) => {
  t.strictSame([0, 999, 1536, 50 * 2 ** 20, 999 * 2 ** 30, 1000 * 2 ** 30].map(bytesText), [
    '0 B',
    '999 B',
    '1.5 KiB',
    '50 MiB',
    '999 GiB',
    '1.0 TiB',
  ])
  t.strictSame(
    [-5, 4_400, 90_000, 3_600_000, 49 * 3_600_000, 12 * 24 * 3_600_000].map(durationText),
    ['0 s', '4 s', '1.5 min', '1 h', '2 d', '12 d'],
  )
  t.equal(agoText(61_000), '1 min ago')
})
