import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { decodeRingFile } from '../common/ring/ring-file.ts'
import { decodeBuilder, encodeBuilder } from './builder-file.ts'
import { RING_COMMANDS, ringCommand, runRing } from './cli.ts'
import type { RingIo } from './command.ts'

/** Every command through the door that people use, on real files, with a clock and answers of the test's own. */

const HOUR_MS = 3_600_000

class World implements RingIo {
  readonly folder = mkdtempSync(join(tmpdir(), 'ring-cli-'))
  readonly answers: boolean[] = []
  said = ''
  clockMs = 1_700_000_000_000
  #ids = 0

  print(line: string): void {
    this.said += `${line}\n`
  }

  warn(line: string): void {
    this.said += `${line}\n`
  }

  async confirm(question: string): Promise<boolean> {
    this.said += `${question}\n`
    return this.answers.shift() ?? false
  }

  nowMs(): number {
    return this.clockMs
  }

  randomId(): string {
    return String(++this.#ids).padStart(32, '0')
  }

  async sleep(delayMs: number): Promise<void> {
    this.clockMs += delayMs
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Runs `name command …` as one text (split at spaces) or as words; returns the exit code. */
  async run(words: string | readonly string[]): Promise<number> {
    const [name, ...rest] = typeof words === 'string' ? words.split(' ') : words
    this.said = ''
    return runRing([this.path(name!), ...rest], this)
  }

  builder(name: string) {
    return decodeBuilder(readFileSync(this.path(name)))
  }
}

function newWorld(): World {
  const world = new World()
  t.teardown(() => rmSync(world.folder, { recursive: true, force: true }))
  return world
}

/** Three zones of two devices, rebalanced an hour and a bit ago. */
async function builtWorld(name = 'object.builder', placement = 'xxh64'): Promise<World> {
  const world = newWorld()
  const commands = [
    `${name} create 6 3 1 --placement ${placement}`,
    `${name} add r1z1-10.0.0.1:6200/sda 100 r1z1-10.0.0.1:6200/sdb_old 100 r1z2-10.0.0.2:6200/sda 100`,
    `${name} add r1z2-10.0.0.2:6200R10.1.0.2:6300/sdb 100 r1z3-10.0.0.3:6200/sda 100 r1z3-[::1]:6200/sdb 100`,
    `${name} rebalance --seed 1`,
  ]
  for (const command of commands) t.equal(await world.run(command), 0, world.said)
  world.clockMs += 1.5 * HOUR_MS
  return world
}

t.test('every command of swift-ring-builder is there', async (t) => {
  const theirs =
    'version search list_parts add set_weight set_region set_zone set_info remove rebalance dispersion validate ' +
    'write_ring write_builder pretend_min_part_hours_passed set_min_part_hours set_replicas set_overload create ' +
    'prepare_increase_partition_power increase_partition_power cancel_increase_partition_power ' +
    'finish_increase_partition_power'
  const ours = RING_COMMANDS.map((command) => command.name)
  t.same(
    theirs.split(' ').filter((name) => !ours.includes(name)),
    [],
  )
  const world = newWorld()
  t.equal(await runRing([], world), 0)
  for (const name of ours) t.match(world.said, `  ${name} `)
  for (const name of ours)
    t.equal(await world.run(`a.builder ${name} --help`), 0, `help of ${name}`)
})

t.test('the whole life of a ring', async (t) => {
  const world = await builtWorld()
  const steps: readonly (readonly [string | readonly string[], number, RegExp])[] = [
    [
      'object.builder',
      0,
      /64 partitions, 3.000000 replicas, 1 regions, 3 zones, 6 devices, 2-byte IDs, 0.00 balance, 0.00 dispersion/,
    ],
    ['object.builder', 0, /can be reassigned is 1 \(0:00:00 remaining\)[\s\S]*is up-to-date/],
    ['object.builder rebalance', 1, /No partitions could be reassigned.\nThere is no need/],
    [
      'object.builder version',
      0,
      /object.ring: Serialization version: swiftlet 1 \(2-byte IDs\), build version: 7, placement: xxh64/,
    ],
    ['object.ring version', 0, /build version: 7/],
    [
      'object.builder search d1',
      0,
      /1 +1 +1 +10.0.0.1:6200 +10.0.0.1:6200 +sdb +100.00 +32 +0.00 +old/,
    ],
    ['object.builder search R:6300', 0, /sdb/],
    ['object.builder search [::1]', 0, /\[::1\]:6200/],
    ['object.builder search --zone 3 --device sda', 0, /10.0.0.3/],
    ['object.builder search d77', 2, /No matching devices found/],
    ['object.builder list_parts z1', 0, /Partition {3}Matches\n {8}0 {9}1\n/],
    [
      'object.builder dispersion',
      0,
      /Dispersion is 0.000000, Balance is 0.000000, Overload is 0.00%/,
    ],
    ['object.builder dispersion r1z1$ -v', 0, /\nr1z1 +64 0.00 +1 +0 +64 +0 +0\n$/],
    ['object.builder validate', 0, /^$/],
    ['object.builder set_weight d0 0 d1 50.5', 0, /weight set to 0.0\n.*weight set to 50.5\n/],
    ['object.builder set_weight --zone 3 --device sda 80', 0, /weight set to 80.0/],
    [
      'object.builder set_region d5 2',
      0,
      /d5r2z3-\[::1\]:6200R\[::1\]:6200\/sdb_"" region set to 2/,
    ],
    ['object.builder set_zone d5 1', 0, /zone set to 1/],
    [
      ['object.builder', 'set_info', 'd2', '10.0.0.9:6209R10.1.0.9:6309/nvme0_a "b" c'],
      0,
      /is now d2r1z2-10.0.0.9:6209R10.1.0.9:6309\/nvme0_"a "b" c"/,
    ],
    [
      'object.builder set_info --id 2 --change-meta new --change-port 6200',
      0,
      /is now d2r1z2-10.0.0.9:6200R10.1.0.9:6309\/nvme0_"new"/,
    ],
    ['object.builder', 0, /is obsolete/],
    ['object.builder write_ring', 0, /^$/],
    ['object.builder', 0, /is up-to-date/],
    ['object.builder remove d3', 0, /marked for removal and will be removed next rebalance/],
    ['object.builder', 0, /DEL/],
    ['object.builder set_weight d3 1', 2, /device 3 is marked for removal/],
    ['object.builder set_replicas 2.5', 0, /replica count is now 2.500000/],
    ['object.builder set_overload 10%', 0, /overload factor is now 10.00% \(0.100000\)/],
    ['object.builder set_overload 1.2', 1, /Warning overload is greater than 100%/],
    ['object.builder set_min_part_hours 2', 0, /now set to 2/],
    ['object.builder rebalance -s 2', 1, /Reassigned \d+ .*NOTE: Dispersion of/s],
    ['object.builder pretend_min_part_hours_passed', 0, /^$/],
    ['object.builder rebalance --force --seed 3', 0, /Reassigned/],
    ['object.builder dispersion --recalculate', 0, /Dispersion is/],
  ]
  for (const [words, code, said] of steps) {
    const ended = await world.run(words)
    t.equal(ended, code, `${words}: ${world.said}`)
    t.match(world.said, said, String(words))
  }
  t.equal(world.builder('object.builder').devices[3], null)
  t.equal(decodeRingFile(readFileSync(world.path('object.ring'))).data.replicaCount, 2.5)
})

t.test('the four steps of a partition power increase', async (t) => {
  const world = await builtWorld()
  const steps: readonly (readonly [string, number, RegExp])[] = [
    ['increase_partition_power', 2, /cannot be increased/],
    ['cancel_increase_partition_power', 2, /cannot be canceled/],
    ['finish_increase_partition_power', 2, /cannot be finished/],
    ['prepare_increase_partition_power', 0, /next partition power is now 7/],
    ['prepare_increase_partition_power', 2, /already prepared/],
    ['rebalance', 2, /finish the increase first before rebalancing/],
    ['add r1z1-10.0.0.9:6200/sda 1', 2, /before adding devices/],
    ['remove d1', 2, /before removing devices/],
    ['', 0, /Preparing increase of partition power \(6 -> 7\)/],
    ['write_ring', 0, /^$/],
    ['cancel_increase_partition_power', 0, /next partition power is now 6/],
    ['finish_increase_partition_power', 0, /next write_ring/],
    ['prepare_increase_partition_power', 0, /is now 7/],
    ['increase_partition_power', 0, /partition power is now 7/],
    ['increase_partition_power', 2, /already run/],
    ['', 0, /First run write_ring now/],
    ['write_ring', 0, /^$/],
    ['', 0, /^(?![\s\S]*First run)[\s\S]*Clean up on all nodes/],
    ['finish_increase_partition_power', 0, /next write_ring/],
    ['rebalance', 1, /No partitions could be reassigned/],
  ]
  for (const [words, code, said] of steps) {
    const ended = await world.run(`object.builder ${words}`.trim())
    t.equal(ended, code, `${words}: ${world.said}`)
    t.match(world.said, said, words)
  }
  t.equal(world.builder('object.builder').partPower, 7)
  const other = await builtWorld('account.builder')
  t.equal(await other.run('account.builder prepare_increase_partition_power'), 2)
  t.match(other.said, /only supported for object rings/)
})

t.test('bad input ends with 2, says why, and leaves the builder as it was', async (t) => {
  const world = await builtWorld()
  const before = readFileSync(world.path('object.builder'))
  const cases: readonly (readonly [string | readonly string[], RegExp])[] = [
    ['object.builder create 6 3 1', /is there already/],
    ['new.builder create 33 3 1', /part_power must be a whole number from 0 to 32/],
    ['new.builder create -- -1 3 1', /part_power must be/],
    ['new.builder create 6 0.5 1', /replicas must be at least 1/],
    ['new.builder create 6 99 1', /replicas must be at most 32/],
    ['new.builder create 6 3 1.5', /min_part_hours must be a whole number/],
    ['new.builder create six 3 1', /"six" is not a valid number/],
    ['new.builder create 6 3', /create takes/],
    ['new.builder create 6 3 1 --placement crc32', /Allowed choices are xxh64, md5/],
    ['new.builder', /Ring Builder file does not exist/],
    ['new.builder rebalance', /Ring Builder file does not exist/],
    ['object.builder dance', /Unknown command: dance/],
    ['object.builder add', /-r\/--region not specified/],
    ['object.builder add r1z1-10.0.0.9:6200/sda', /pairs/],
    ['object.builder add z1-10.0.0.9/sda 1', /Invalid add value/],
    ['object.builder add r1z1-10.0.0.999:6200/sda 1', /Invalid ip/],
    ['object.builder add r1z1-10.0.0.9:62000000/sda 1', /Invalid port/],
    ['object.builder add r1z1-10.0.0.9:6200/ 1', /Invalid device name/],
    ['object.builder add r1z1-10.0.0.9:6200/a/b 1', /Invalid device name/],
    ['object.builder add r1z1-10.0.0.9:6200/sda heavy', /Invalid weight/],
    ['object.builder add r1z1-10.0.0.1:6200/sda 1', /Device 0 already uses 10.0.0.1:6200\/sda/],
    [
      'object.builder add --region 1 --zone 1 --ip bad_host --port 6200 --device sda --weight 1',
      /Invalid address bad_host/,
    ],
    [
      'object.builder add --region 1 --zone 1 --ip h --port x --device sda --weight 1',
      /not a whole number/,
    ],
    ['object.builder add --colour red', /unknown option '--colour'/],
    ['object.builder search', /no search value/],
    ['object.builder search hello', /Invalid <search-value>: 'hello'/],
    ['object.builder set_weight d0', /pairs/],
    ['object.builder set_weight d0 NaN', /Invalid weight/],
    ['object.builder set_weight d99 5', /matched 0 devices/],
    ['object.builder set_weight z1 5', /Matched more than one device[\s\S]*Aborting/],
    ['object.builder set_zone d0 here', /not a whole number/],
    ['object.builder set_info d0 zzz', /Invalid set info change value/],
    ['object.builder set_info d0 10.0.0.3', /Device 4 already uses/],
    ['object.builder set_info --id 0', /no change is given/],
    ['object.builder set_replicas none', /not a valid number/],
    ['object.builder set_replicas 0', /at least 1/],
    ['object.builder set_overload -- -1', /non-negative/],
    ['object.builder set_min_part_hours', /exactly one value/],
    ['object.builder dispersion (', /no regular expression/],
    ['object.builder write_ring --format swift-v1', /places names by xxh64/],
    ['object.builder write_ring --format zip', /Allowed choices/],
    ['object.builder write_builder', /Cowardly refusing to overwrite/],
    ['other.ring write_builder', /There is no ring file/],
    ['other.ring version', /There is no ring file/],
  ]
  for (const [words, said] of cases) {
    const code = await world.run(words)
    t.equal(code, 2, `${words}: ${world.said}`)
    t.match(world.said, said, String(words))
  }
  t.same(readFileSync(world.path('object.builder')), before)
})

t.test('a builder that is not rebalanced, empty or damaged', async (t) => {
  const world = newWorld()
  const steps: readonly (readonly [string, number, RegExp])[] = [
    ['a.builder create 4 2 0', 0, /^$/],
    ['a.builder', 0, /no devices in this ring/],
    ['a.builder write_ring', 2, /Unable to write empty ring/],
    ['a.builder rebalance', 2, /requires more than 0 devices/],
    ['a.builder add z1-10.0.0.1:6200/sda 1', 0, /WARNING: No region specified/],
    ['a.builder list_parts d0', 2, /not rebalanced yet/],
    ['a.builder dispersion', 2, /not rebalanced yet/],
    ['a.builder validate', 2, /did you forget to rebalance/],
    ['a.builder write_ring', 0, /no partition assignments/],
    ['a.builder rebalance', 2, /requires more than 1 devices/],
  ]
  for (const [words, code, said] of steps) {
    t.equal(await world.run(words), code, `${words}: ${world.said}`)
    t.match(world.said, said, words)
  }
  const bytes = readFileSync(world.path('a.builder'))
  bytes[40]! ^= 1
  writeFileSync(world.path('a.builder'), bytes)
  t.equal(await world.run('a.builder'), 2)
  t.match(world.said, /a.builder: the builder file is damaged: the checksum/)
  writeFileSync(world.path('a.builder'), Buffer.from('\x80\x02}q\x00', 'latin1'))
  t.equal(await world.run('a.builder'), 2)
  t.match(world.said, /looks like a builder of Swift/)
})

t.test('many devices at once ask first', async (t) => {
  const world = await builtWorld()
  world.answers.push(true)
  t.equal(await world.run('object.builder set_weight z1 5'), 0)
  t.match(world.said, /update the weight for these 2 devices\? \(y\/N\)/)
  t.equal(await world.run('object.builder remove z1'), 2)
  t.equal(await world.run('object.builder remove z1 --yes'), 0)
  t.same(world.builder('object.builder').removedIds, [0, 1])
})

t.test('a small change is not saved, unless by force', async (t) => {
  const world = await builtWorld()
  t.equal(await world.run('object.builder set_weight d0 100.5'), 0)
  const changed = world.builder('object.builder')
  writeFileSync(world.path('object.builder'), encodeBuilder({ ...changed, devicesChanged: false }))
  t.equal(await world.run('object.builder rebalance'), 1)
  t.match(world.said, /No partitions|Cowardly/)
  t.equal(await world.run('object.builder rebalance --force'), 0)
})

t.test('an md5 ring is written for Swift, and a lost builder comes back from it', async (t) => {
  const world = await builtWorld('object.builder', 'md5')
  const ring = decodeRingFile(readFileSync(world.path('object.ring.gz')))
  t.equal(ring.format, 'swift-v1')
  t.equal(await world.run('object.builder write_ring --format-version 2 --dev-id-bytes 4'), 0)
  t.equal(decodeRingFile(readFileSync(world.path('object.ring.gz'))).format, 'swift-v2')
  const kept = world.builder('object.builder')
  rmSync(world.path('object.builder'))
  t.equal(await world.run('object.ring.gz write_builder'), 0)
  t.match(world.said, /default min_part_hours may not match/)
  const recovered = world.builder('object.builder')
  t.same(recovered.rows, kept.rows)
  t.same(recovered.devices, kept.devices)
  t.equal(recovered.minPartHours, 24)
  t.equal(await world.run('object.builder rebalance'), 1, 'nothing is to be done')
})

t.test('saved files have backups, and a lock is respected until its owner is gone', async (t) => {
  const world = await builtWorld()
  const names = readdirSync(world.path('backups')).sort()
  t.same(names, ['1700000000.object.builder', '1700000000.object.ring'])
  t.same(readdirSync(world.folder).sort(), ['backups', 'object.builder', 'object.ring'])
  const lock = world.path('.object.builder.lock')
  writeFileSync(lock, String(process.pid))
  t.equal(await world.run('object.builder set_replicas 2'), 2)
  t.match(world.said, /is locked by another process/)
  t.equal(await world.run('object.builder'), 0, 'looking needs no lock')
  // No process has this id: the largest that Linux gives is 2^22.
  writeFileSync(lock, String(2 ** 22 + 1))
  t.equal(await world.run('object.builder set_replicas 2'), 0)
})

t.test('the mounted command passes words through and sets the exit code', async (t) => {
  const world = await builtWorld()
  const exitCode = process.exitCode
  const command = ringCommand()
  await command.parseAsync([world.path('object.builder'), 'set_overload', '--help'], {
    from: 'user',
  })
  t.equal(process.exitCode, 0)
  await ringCommand().parseAsync([world.path('none.builder'), 'search', '-z', '1'], {
    from: 'user',
  })
  t.equal(process.exitCode, 2)
  process.exitCode = exitCode
})
