/**
 * Three zones of two nodes, a proxy on either side, real processes in network namespaces: one zone is cut off, both ways
 * and one way, and once a fifth of its packets are lost. The majority's side goes on, the minority's refuses, nothing
 * that was acknowledged is lost on either, and when the zone is back everybody agrees. Negative control: the same cluster,
 * asked in the same way, loses what it has acknowledged in a container with a policy of `consistency: swift`.
 */
import t from 'tap'
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { Ledger } from './support/ledger.ts'
import { bodyOf, runLoad, stateOf } from './support/load.ts'
import { probeFolder } from './support/probe-folder.ts'
import { probeSeed, shortOrLong } from './support/scale.ts'
import type { StoreClient } from './support/store-client.ts'
import { checkProblems } from './support/store-under-test.ts'
import { countFindings, SETTLE_MS_MAX, verifyAll, verifyObjects } from './support/verify.ts'
import { CUTS, type Cut, makeZoneNetwork, missingForNetwork } from './support/zone-network.ts'
import { ZonedCluster } from './support/zoned-cluster.ts'

const CONTAINER = 'zones'
/** Its policy lets both sides go on. */
const SLOPPY = { container: 'sloppy', policy: 'sloppy' } as const
/** Names that are made on both sides while the zone is away. */
const MADE_TWICE = shortOrLong(20, 200)
const MAKERS = 8
/** The proxy of the side that stays whole, and the zone that is cut off. */
const [MAJORITY, MINORITY] = [1, 3]
const CLIENTS = 4
/** One way is enough for the short form: the way in which writes arrive and their answers do not. */
const CUTS_TRIED = shortOrLong<readonly Cut[]>(
  CUTS.filter((cut) => cut !== 'from the zone'),
  CUTS,
)
/** Acknowledged writes that the majority's side has to reach while the zone is away, and refusals of the other. */
const ACKNOWLEDGED_WANTED = shortOrLong(100, 5_000)
const REFUSED_WANTED = shortOrLong(CLIENTS, 100)
const PHASE_MS_MAX = shortOrLong(60_000, 300_000)

/** What the clients of one side were answered while the zone was away. */
interface Answers {
  acknowledged: number
  refused: number
  /** By status; 0: no answer. */
  readonly other: Record<string, number>
}

t.test(
  'a zone that is cut off: one side goes on, the other refuses, nobody loses anything',
  { skip: (await missingForNetwork()) ?? false, timeout: shortOrLong(240_000, 3_600_000) },
  async (t) => {
    const seed = probeSeed()
    const random = seededRandom(seed)
    const folder = await probeFolder(t, 'zone-cut')
    const network = await makeZoneNetwork(t, 3)
    const cluster = await ZonedCluster.start(t, {
      folder,
      network,
      zones: 3,
      nodesPerZone: 2,
      proxyZones: [MAJORITY, MINORITY],
      policies: [{ name: SLOPPY.policy, consistency: 'swift' }],
    })
    const [whole, away] = [cluster.client(MAJORITY), cluster.client(MINORITY)]
    const ledger = new Ledger()
    t.equal(await whole.send('PUT', `/${CONTAINER}`), 201)
    const headers = { 'x-storage-policy': SLOPPY.policy }
    t.equal(await whole.send('PUT', `/${SLOPPY.container}`, { headers }), 201)

    for (const [round, cut] of CUTS_TRIED.entries()) {
      const answers = await loseZone(cut, round)
      const { whole: onWhole, away: onAway } = answers
      t.strictSame(onWhole.other, {}, `${cut}: no other answers of the whole side`)
      t.strictSame(onAway.other, {}, `${cut}: nor of the side that is away`)
      if (cut !== 'a fifth is lost') {
        t.equal(onWhole.refused, 0, `${cut}: the whole side refuses nothing`)
        t.ok(onAway.refused >= REFUSED_WANTED, `${cut}: the other refused ${onAway.refused}`)
        t.equal(onAway.acknowledged, 0, `${cut}: and acknowledged nothing that came after`)
      }
      t.comment(JSON.stringify({ cut, ...answers }))
    }
    const sloppy = new Ledger()
    const twice = await makeTwice(sloppy)
    const convergedMs = await untilInStep(away)
    for (const client of [whole, away]) {
      // Rows of writes without an answer are settled after a minute.
      const settle = shortOrLong({}, { settleMsMax: SETTLE_MS_MAX })
      const findings = await verifyAll(client, ledger, { container: CONTAINER, ...settle })
      t.strictSame(findings, [], `${countFindings(findings)} (seed ${seed})`)
    }
    t.equal(twice.strict, 0, 'no name was made on both sides')
    t.ok(twice.sloppy > 0, `negative control: ${twice.sloppy} were`)
    const lost = await verifyObjects(whole, sloppy, { container: SLOPPY.container })
    t.ok(lost.length > 0, `negative control: ${countFindings(lost)} of ${MADE_TWICE}`)
    t.strictSame(new Set(await cluster.stopNodes()), new Set([0]), 'all nodes stop cleanly')
    const disks = cluster.nodes.map(({ disk }) => disk)
    const problems = await checkProblems(shortOrLong(disks.slice(-1), disks))
    t.equal(problems, '', 'swiftlet check finds nothing wrong')
    const { acknowledged, unknown } = ledger
    t.comment(
      JSON.stringify({ seed, acknowledged, unknown, inDoubt: ledger.inDoubtCount(), convergedMs }),
    )
    t.comment(JSON.stringify({ control: { twice, lost: countFindings(lost) } }))

    /**
     * While the zone is away its clients, and then those of the other side, make the same names with If-None-Match: *, in
     * a strict container and in a sloppy one; how many names both were told to have made. A name is the first maker's.
     */
    async function makeTwice(ofSloppy: Ledger) {
      await network.cut(MINORITY, 'both ways')
      const twice = { strict: 0, sloppy: 0 }
      const kinds = [
        ['strict', CONTAINER, ledger],
        ['sloppy', SLOPPY.container, ofSloppy],
      ] as const
      const numbers = Array.from({ length: MADE_TWICE }, (_, number) => number)
      for (const [side, client] of Object.entries({ away, whole })) {
        const make = async (number: number) => {
          const name = `twice-${number}`
          for (const [kind, container, noted] of kinds) {
            const body = bodyOf(`${name} of those who are ${side}`, 1000)
            const isTaken = noted.possible(name).every((state) => state !== null)
            if (!isTaken) noted.begin(name, stateOf(body))
            const options = { body, headers: { 'if-none-match': '*' } }
            const status = await client.send('PUT', `/${container}/${name}`, options).catch(() => 0)
            if (isTaken) twice[kind] += Number(status === 201)
            else if (status === 201) noted.acknowledge(name, stateOf(body))
            else noted.leaveOpen()
          }
        }
        await forEachParallel(numbers, MAKERS, make)
      }
      await network.heal()
      return twice
    }

    /** Loses the zone under load, and brings it back when both sides have shown what they do. */
    async function loseZone(cut: Cut, round: number) {
      const counted = { whole: newAnswers(), away: newAnswers() }
      let stopped = false
      let cutMs = Number.POSITIVE_INFINITY
      const load = (side: 'whole' | 'away') =>
        runLoad({
          client: side === 'whole' ? whole : away,
          ledger,
          container: CONTAINER,
          random,
          names: `${round}-${side}`,
          clients: CLIENTS,
          stopped: () => stopped,
          onAnswer: (status, sentMs) => sentMs > cutMs && count(counted[side], status),
        })
      const loads = [load('whole'), load('away')]
      const before = ledger.acknowledged
      await until(() => ledger.acknowledged >= before + 50)
      await network.cut(MINORITY, cut)
      cutMs = performance.now()
      await until(
        () =>
          counted.whole.acknowledged >= ACKNOWLEDGED_WANTED &&
          (cut === 'a fifth is lost' || counted.away.refused >= REFUSED_WANTED),
      )
      const answers = structuredClone(counted)
      const cutForMs = Math.round(performance.now() - cutMs)
      await network.heal()
      const healedMs = performance.now()
      const late = ledger.acknowledged
      await until(() => ledger.acknowledged > late + 50)
      stopped = true
      await Promise.all(loads)
      return { ...answers, cutForMs, backAfterMs: Math.round(performance.now() - healedMs) }
    }
  },
)

/** How long it took until every device was found in step with all of its replicas, after the last of the zone's returns. */
async function untilInStep(client: StoreClient): Promise<number> {
  const [startMs, sinceMs] = [performance.now(), Date.now()]
  for (;;) {
    const { regions } = await client.status()
    const devices = regions.flatMap(({ zones }) =>
      zones.flatMap(({ nodes }) => nodes.flatMap((node) => node.devices)),
    )
    const isInStep = devices.every(({ status }) => {
      const { replication } = status ?? {}
      return replication !== undefined && replication.inStepAtMs > sinceMs
    })
    const tookMs = Math.round(performance.now() - startMs)
    if (isInStep) return tookMs
    if (tookMs > PHASE_MS_MAX) throw new Error('the replicas did not come in step')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function newAnswers(): Answers {
  return { acknowledged: 0, refused: 0, other: {} }
}

function count(answers: Answers, status: number): void {
  if (status === 201 || status === 204 || status === 404) answers.acknowledged++
  else if (status === 503) answers.refused++
  else answers.other[status] = (answers.other[status] ?? 0) + 1
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + PHASE_MS_MAX
  while (!holds()) {
    if (performance.now() > endMs) throw new Error('the load came to a stop')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
