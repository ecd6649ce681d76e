import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { itemKey, objectName } from '../common/item.ts'
import { Ring } from '../common/ring/ring.ts'
import { decodeRing, decodeRingFile, encodeSwiftRing } from '../common/ring/ring-file.ts'
import {
  addDevice,
  type Builder,
  createBuilder,
  presentDevices,
  removeDevice,
  ringOf,
} from './builder.ts'
import { rebalance } from './rebalance.ts'
import { SeededRandom } from './seeded-random.ts'

/**
 * The real tool and the real reader beside ours: rings made by Debian's swift-ring-builder are read here, rings made
 * here are read by Swift's own Ring, and both must send every name to the same devices in the same order.
 */

const TOOL = '/usr/bin/swift-ring-builder'
const PREFIX = 'a prefix'
const SUFFIX = 'and a suffix'
const NAME_COUNT = 3000
const HANDOFF_PARTITION_COUNT = 150

/** One Python process runs the tool's main and asks its reader, a JSON line each: starting it costs a second. */
const SWIFT_SERVER = `
import contextlib, io, json, sys
from swift.common import utils
from swift.common.ring import Ring
from swift.cli import ringbuilder

utils.HASH_PATH_PREFIX = ${JSON.stringify(PREFIX)}.encode()
utils.HASH_PATH_SUFFIX = ${JSON.stringify(SUFFIX)}.encode()

def build(words):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            ringbuilder.main(['swift-ring-builder'] + words)
            status = 0
        except SystemExit as ended:
            status = ended.code
    return {'status': status, 'said': said.getvalue()}

def ask(asked):
    ring = Ring(asked['ring'])
    names = []
    for account, container, obj in asked['names']:
        part, nodes = ring.get_nodes(account, container, obj)
        names.append([part] + [node['id'] for node in nodes])
    handoffs = [[node['id'] for node in ring.get_more_nodes(part)] for part in asked['partitions']]
    devs = [dev and [dev['region'], dev['zone'], dev['ip'], dev['port'], dev['replication_ip'],
            dev['replication_port'], dev['device'], dev['weight'], dev['meta']] for dev in ring.devs]
    return {'replicas': ring.replica_count, 'version': ring.version, 'next': ring.next_part_power,
            'names': names, 'handoffs': handoffs, 'devs': devs}

for line in sys.stdin:
    request = json.loads(line)
    answer = build(request['build']) if 'build' in request else ask(request)
    print(json.dumps(answer), flush=True)
`

interface SwiftAnswer {
  readonly replicas: number
  readonly version: number
  readonly next: number | null
  readonly names: readonly (readonly number[])[]
  readonly handoffs: readonly (readonly number[])[]
  readonly devs: readonly (readonly unknown[] | null)[]
}

const skip = missingTool()
const folder = mkdtempSync(join(tmpdir(), 'ring-interop-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** Why the comparison cannot be made, or false. */
function missingTool(): string | false {
  const python = pythonOfTool()
  if (python === null) return `${TOOL} is not installed (Debian package swift)`
  const probe = spawnSync(python, ['-c', 'import swift.common.ring'], { encoding: 'utf8' })
  return probe.status === 0 ? false : `${python} has no module swift (Debian package python3-swift)`
}

function pythonOfTool(): string | null {
  try {
    return /^#! *(\S+)/.exec(readFileSync(TOOL, 'latin1'))?.[1] ?? null
  } catch {
    return null
  }
}

let askPython: (request: object) => Promise<unknown> = () =>
  Promise.reject(new Error('Python is not started'))

if (skip === false) {
  const python = spawn(pythonOfTool()!, ['-c', SWIFT_SERVER], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => python.stdin.end())
  const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]()
  askPython = async (request) => {
    python.stdin.write(`${JSON.stringify(request)}\n`)
    return JSON.parse((await lines.next()).value as string)
  }
}

/** Runs the tool on a builder; it exits with 1 where it only warns. */
async function swiftBuild(
  builder: string,
  commands: readonly (readonly string[])[],
): Promise<void> {
  for (const words of commands) {
    const answer = await askPython({ build: [builder, ...words] })
    const { status, said } = answer as { status: number | null; said: string }
    t.ok(status === 0 || status === 1 || status === null, `${words[0]}: ${said}`)
  }
}

async function askSwift(
  path: string,
  options: { readonly partitionCount: number },
): Promise<SwiftAnswer> {
  const step = Math.max(1, Math.floor(options.partitionCount / HANDOFF_PARTITION_COUNT))
  const partitions = []
  for (let partition = 0; partition < options.partitionCount; partition += step) {
    partitions.push(partition)
  }
  return (await askPython({ ring: path, names: sampleNames(), partitions })) as SwiftAnswer
}

function sampleNames(): readonly (readonly [string, string, string])[] {
  return Array.from(
    { length: NAME_COUNT },
    (_, at) => [`AUTH_${at % 17}`, `c ${at % 5}/ü`.replace('/', '-'), `o/${at}/日本`] as const,
  )
}

/** Asks both for every name and for handoffs, and compares all of it. */
async function compare(t: Test, path: string): Promise<void> {
  const data = decodeRing(readFileSync(path))
  const ring = new Ring(data)
  const swift = await askSwift(path, { partitionCount: ring.partitionCount })
  const hashing = { prefix: PREFIX, suffix: SUFFIX, placement: ring.placement }
  const ours = sampleNames().map(([account, container, object]) => {
    const key = itemKey(hashing, 'object', objectName(account, container, object))
    const partition = ring.partitionOf(key.placement)
    return [partition, ...ring.primaries(partition).map(({ id }) => id)]
  })
  t.strictSame(ours, swift.names, `partition and primaries of ${NAME_COUNT} names`)
  const step = Math.max(1, Math.floor(ring.partitionCount / HANDOFF_PARTITION_COUNT))
  const handoffs = swift.handoffs.map((_, at) =>
    Array.from(ring.handoffs(at * step), ({ id }) => id),
  )
  t.strictSame(handoffs, swift.handoffs, `all handoffs of ${handoffs.length} partitions`)
  t.strictSame(
    data.devices.map(
      (device) =>
        device && [
          device.region,
          device.zone,
          device.ip,
          device.port,
          device.replicationIp,
          device.replicationPort,
          device.device,
          device.weight,
          device.meta,
        ],
    ),
    swift.devs,
    'devices',
  )
  t.equal(ring.replicaCount, swift.replicas, 'replica count')
  t.equal(ring.version, swift.version, 'build version')
  t.equal(ring.nextPartPower ?? null, swift.next, 'next partition power')
}

/** `regions` regions of zones of nodes of devices with several weights, as add arguments. */
function clusterArguments(random: SeededRandom, regions: number): string[] {
  const words: string[] = []
  for (let region = 1; region <= regions; region++) {
    for (let zone = 1; zone <= 1 + random.below(3); zone++) {
      for (let node = 1; node <= 1 + random.below(4); node++) {
        for (let disk = 1; disk <= 1 + random.below(3); disk++) {
          const ip = `10.${region}.${zone}.${node}`
          words.push(`r${region}z${zone}-${ip}:6200R10.9.${zone}.${node}:6300/d${disk}_m ${disk}`)
          words.push(String(50 + 50 * random.below(3)))
        }
      }
    }
  }
  return words
}

t.test("rings of Debian's swift-ring-builder place names here as there", { skip }, async (t) => {
  const cases = [
    { name: 'three replicas in one region', partPower: 8, replicas: '3', regions: 1 },
    { name: 'two and a half replicas in three regions', partPower: 7, replicas: '2.5', regions: 3 },
    { name: 'one replica, fewer partitions than names', partPower: 4, replicas: '1', regions: 2 },
    { name: 'more partitions than names', partPower: 12, replicas: '2.1', regions: 2 },
    { name: 'one partition', partPower: 0, replicas: '2', regions: 2 },
  ]
  for (const { name, partPower, replicas, regions } of cases) {
    await t.test(name, async (t) => {
      const builder = join(folder, `swift-${partPower}.builder`)
      const words = clusterArguments(new SeededRandom(name), regions)
      await swiftBuild(builder, [
        ['create', String(partPower), replicas, '0'],
        ['add', ...words, 'r9z9-[fe80::1]:6200/last_in a region of its own', '10'],
        ['rebalance', '--seed', '1'],
      ])
      await compare(t, builder.replace('.builder', '.ring.gz'))
    })
  }
})

t.test('rings that changed: a hole in the devices, a prepared increase', { skip }, async (t) => {
  const builder = join(folder, 'object-changed.builder')
  await swiftBuild(builder, [
    ['create', '6', '3', '0'],
    ['add', ...clusterArguments(new SeededRandom('changed'), 2)],
    ['rebalance', '--seed', '1'],
    ['remove', 'd1'],
    ['rebalance', '--seed', '2'],
    ['prepare_increase_partition_power'],
    ['write_ring'],
  ])
  const path = builder.replace('.builder', '.ring.gz')
  t.equal(decodeRing(readFileSync(path)).devices[1], null)
  t.equal(decodeRing(readFileSync(path)).nextPartPower, 7)
  await compare(t, path)
})

t.test('rings of ours place names there as here', { skip }, async (t) => {
  const cases = [
    { partPower: 8, replicas: 3, regions: 1 },
    { partPower: 9, replicas: 2.25, regions: 3 },
    { partPower: 0, replicas: 1, regions: 1 },
    { partPower: 17, replicas: 3, regions: 2 },
  ]
  for (const { partPower, replicas, regions } of cases) {
    await t.test(
      `2^${partPower} partitions, ${replicas} replicas, ${regions} regions`,
      async (t) => {
        let builder: Builder = createBuilder({
          id: 'x',
          partPower,
          replicas,
          minPartHours: 0,
          placement: 'md5',
        })
        for (let at = 0; at < 24; at++) {
          const ip = `10.0.${at % 4}.${at % 8}`
          builder = addDevice(builder, {
            region: 1 + (at % regions),
            zone: 1 + (at % 4),
            ip,
            port: 6200,
            replicationIp: ip,
            replicationPort: 6201,
            device: `sd${at}`,
            weight: 1 + (at % 3) / 2,
            meta: at % 2 === 0 ? '' : 'Größe "4 TB" 💾',
          }).builder
        }
        builder = rebalance(builder, { seed: '1', nowS: 1e9 }).builder
        builder = rebalance(removeDevice(builder, 3), { seed: '2', nowS: 1e9 + 9 }).builder
        t.equal(presentDevices(builder).length, 23)
        const path = join(folder, `ours-${partPower}.ring.gz`)
        writeFileSync(path, encodeSwiftRing(ringOf(builder)))
        t.equal(decodeRingFile(readFileSync(path)).format, 'swift-v1')
        await compare(t, path)
      },
    )
  }
})

t.test(
  "a ring of ours becomes a builder of Swift's and is rebalanced there",
  { skip },
  async (t) => {
    let builder: Builder = createBuilder({
      id: 'x',
      partPower: 6,
      replicas: 3,
      minPartHours: 1,
      placement: 'md5',
    })
    for (let at = 0; at < 6; at++) {
      const ip = `10.0.0.${at}`
      const place = {
        region: 1,
        zone: at,
        ip,
        port: 6200,
        replicationIp: ip,
        replicationPort: 6200,
      }
      builder = addDevice(builder, { ...place, device: 'sda', weight: 1, meta: '' }).builder
    }
    const path = join(folder, 'handed-over.ring.gz')
    writeFileSync(
      path,
      encodeSwiftRing(ringOf(rebalance(builder, { seed: '1', nowS: 1e9 }).builder)),
    )
    const toBuilder = path.replace('.ring.gz', '.builder')
    await swiftBuild(path, [['write_builder', '1']])
    const validated = spawnSync(TOOL, [toBuilder, 'validate'], { encoding: 'utf8', cwd: folder })
    t.equal(validated.status, 0, `${validated.stdout}${validated.stderr}`)
    await swiftBuild(toBuilder, [
      ['dispersion'],
      ['add', 'r1z9-10.0.0.9:6200/sda', '1'],
      ['rebalance'],
    ])
    await compare(t, path)
  },
)
