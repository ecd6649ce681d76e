/**
 * The backend over a cluster of storage nodes, local or remote: placement, quorum, rows and totals. Its parts:
 *
 *   replica-map       name -> ring -> devices        quorum           what N answers add up to (pure)
 *   register-reads    strict reads, completion       register-writes  plain and dependent writes, recovery
 *   proposals         prepare and accept             register-decisions, register-change  what to propose (pure)
 *   object-writes     object and row together        object-stream    bodies that are not inline
 *   rows, listings    container listings             containers       accounts, containers, account rows
 *   sloppy-registers  objects of policies with Swift's consistency
 *   settler, updater  what a failure left half done  expirer          X-Delete-At
 */
import { forEachParallel } from '../../common/bounded-parallel.ts'
import { ChangeMarks } from '../../common/change-marks.ts'
import type { Clock } from '../../common/clock.ts'
import type { Condition } from '../../common/condition.ts'
import { type ItemHashing, type ItemKey, splitName } from '../../common/item.ts'
import { type Log, silentLog } from '../../common/log.ts'
import type { Random } from '../../common/random.ts'
import type { RingDevice } from '../../common/ring/ring.ts'
import type { RingSource } from '../../common/ring/ring-set.ts'
import { StampClock } from '../../common/stamp.ts'
import type {
  ItemInfo,
  ItemMeta,
  ItemRead,
  ListPage,
  ListQuery,
  ListRow,
  StorageNode,
} from '../../common/storage-node.ts'
import { AccountDirectory } from './account-directory.ts'
import type {
  AccountPage,
  Backend,
  ObjectPath,
  ObjectPost,
  ReadListOptions,
  ReadOptions,
} from './backend.ts'
import { asBackendError } from './backend-errors.ts'
import { BackgroundJobs } from './background-jobs.ts'
import { ContainerCache } from './container-cache.ts'
import { containerInfo, policyOf } from './container-policy.ts'
import { Containers } from './containers.ts'
import { BackendCounters } from './counters.ts'
import type { ErrorLimit } from './device-health.ts'
import { Expirer } from './expirer.ts'
import { type ExpiryDelay, ExpiryDelays } from './expiry-delay.ts'
import { ListTotals } from './list-totals.ts'
import { Listings, type RowSource } from './listings.ts'
import { MisplacedObjects } from './misplaced-objects.ts'
import { NameKeys } from './name-keys.ts'
import { ObjectRows } from './object-rows.ts'
import { openObjectStream } from './object-stream.ts'
import { ObjectWrites } from './object-writes.ts'
import { Pace } from './pace.ts'
import { type PassStatus, PeriodicPass } from './periodic-pass.ts'
import { Proposals } from './proposals.ts'
import { Reaper } from './reaper.ts'
import { RegisterReads } from './register-reads.ts'
import { RegisterWrites } from './register-writes.ts'
import { ReplicaMap } from './replica-map.ts'
import { Rows, rowOfContainer, rowOfObject } from './rows.ts'
import { Settler } from './settler.ts'
import { SloppyRegisters } from './sloppy-registers.ts'
import { Updater } from './updater.ts'
import { WriteIds } from './write-ids.ts'

export interface ClusterBackendOptions {
  readonly hashing: ItemHashing
  readonly rings: RingSource
  /** The storage node of a ring device; asked once for each device. */
  readonly nodeOf: (device: RingDevice) => StorageNode
  readonly clock: Clock
  readonly random: Random
  /** Below 2^24, different for each proxy (thread) of the cluster. */
  readonly proposer: number
  /** Where changes of accounts and containers are noted; given when other threads of the process note theirs there. */
  readonly marks?: ChangeMarks
  readonly log?: Log
  /** Storage policies, whose devices the updater and the expirer visit. */
  readonly policies?: readonly number[]
  /** Those of them with `consistency: swift`. */
  readonly sloppyPolicies?: readonly number[]
  /** How long one replica may take with one call when there are several. */
  readonly deadlineMs?: number
  /** Age from which an unconfirmed row or object is nobody's work in progress; several deadlines. */
  readonly settleAgeMs?: number
  /** Pause between reports of container totals to accounts while they change. */
  readonly totalsMs?: number
  /** Longest pause of the daemon that writes totals while there is nothing to do. */
  readonly idleMs?: number
  /** The same of daemons whose work nobody waits for: the settler and the expirer. */
  readonly patientMs?: number
  /** Unconfirmed rows and objects that are settled in a second. */
  readonly settlePerSecond?: number
  /** Objects that the expirer deletes in a second. */
  readonly expirePerSecond?: number
  /** How long objects are kept beyond their time; not at all if absent. */
  readonly expiryDelays?: readonly ExpiryDelay[]
  /** Longest pause of the reaper while no account is deleted. */
  readonly reapIdleMs?: number
  /** Objects of deleted accounts that the reaper deletes in a second. */
  readonly reapPerSecond?: number
  /** From the deletion of an account to the first deletion in it: Swift's delay_reaping. */
  readonly delayReapingMs?: number
  /** From the deletion of an account until its name may be used again. */
  readonly accountReclaimMs?: number
  readonly errorLimit?: ErrorLimit
}

const DEFAULTS = {
  policies: [0] as readonly number[],
  deadlineMs: 10_000,
  settleAgeMs: 60_000,
  totalsMs: 250,
  idleMs: 5_000,
  settlePerSecond: 500,
  expirePerSecond: 200,
  expiryDelays: [] as readonly ExpiryDelay[],
  reapIdleMs: 60_000,
  reapPerSecond: 100,
  delayReapingMs: 0,
  accountReclaimMs: 7 * 24 * 3600 * 1000,
  patientMs: 30_000,
}

/** The backend with its daemons. */
export interface ClusterBackend extends Backend {
  /** Starts the updater and the expirer. */
  start(): void
  /**
   * Settles what a crash left half done, whatever its age: only before anybody is served, when nothing can be in
   * progress. What is not settled within the time is settled in the background later.
   */
  settleAfterStart(options: { readonly timeMsMax: number }): Promise<void>
  /** Stops them and waits for what is under way; storage nodes stay open. Idempotent. */
  close(): Promise<void>
  readonly counters: BackendCounters
  /** What runs in the background, now. */
  activity(): BackendActivity
  /** One pass of each daemon, now: for tests and commands. */
  runDaemonsOnce(): Promise<void>
}

export interface BackendActivity {
  readonly daemons: readonly PassStatus[]
  /** Work that no answer waits for. */
  readonly jobsWaiting: number
  readonly jobsDropped: number
  readonly jobsFailed: number
  /** Devices that are not asked for a while, because they failed several times in a row. */
  readonly devicesLeftAlone: number
}

/** Rows asked for at once where one would do: many of them may turn out to be no more. */
const LOOKED_FOR_MAX = 100
/** Accounts whose totals are read at once for a list of them. */
const ACCOUNTS_READ_MAX = 8
/** What cannot be settled would be found in every pass. */
const SETTLE_PASSES_MAX = 200

/** Assembles a backend; nothing runs in the background before `start`. */
export function createClusterBackend(given: ClusterBackendOptions): ClusterBackend {
  const options = { ...DEFAULTS, log: silentLog, marks: new ChangeMarks(), ...given }
  const { clock, log, marks } = options
  const timing = { clock, deadlineMs: options.deadlineMs }
  const counters = new BackendCounters()
  const keys = new NameKeys(options.hashing)
  const replicas = new ReplicaMap(options)
  const jobs = new BackgroundJobs({ log })
  // The low eight bits of the proposer stay free for settlements (rows.ts, justAbove).
  const stamps = new StampClock({ nowMs: clock.nowMs, proposer: options.proposer << 8 })
  const writeIds = new WriteIds(options.random)
  const parts = { keys, replicas, timing, jobs, counters, stamps, writeIds, clock }

  const proposals = new Proposals({ ...parts, random: options.random })
  const sloppy = new SloppyRegisters(parts)
  const reads = new RegisterReads({ ...parts, proposals, sloppy })
  const writes = new RegisterWrites({ ...parts, reads, proposals, sloppy })
  const rows = new Rows({ ...parts, repairList: (list) => reads.info(list) })
  const listings = new Listings({ ...parts, reads, rows })
  const totals = new ListTotals({
    ...parts,
    page: (list, query) => listings.page(sourceOf(list), query),
  })
  const containers = new Containers({
    ...parts,
    totals,
    reads,
    writes,
    rows,
    hasRows: (list) => hasRows(list),
    noteAccount: (account) => jobs.add('account row', () => directory.note(account)),
  })
  const ensureList = (list: ItemKey) => containers.ensureList(list)
  const directory: AccountDirectory = new AccountDirectory({ ...parts, rows, listings, ensureList })
  const syncAccountRow = (account: string, container: string) =>
    containers.syncAccountRow(account, container)
  const cache = new ContainerCache({
    clock,
    marks,
    load: guard((account, container) => containers.readSettings(account, container)),
  })
  const currentSettings = async ({ account, container }: ObjectPath) => {
    cache.invalidate(account, container)
    return cache.get(account, container)
  }
  const objectRows = new ObjectRows({
    ...parts,
    rows,
    isSloppy: (policy) => replicas.isSloppy({ kind: 'object', policy }),
    settings: ({ account, container }) => cache.get(account, container),
    currentSettings,
  })
  const misplaced = new MisplacedObjects({
    ...parts,
    reads,
    currentSettings,
    copy: (path, read, condition) => copyObject(path, read, condition),
  })
  const settler = new Settler({
    ...parts,
    misplaced,
    reads,
    writes,
    rows,
    objectRows,
    syncAccountRow,
    containerOf: (account, container) => cache.get(account, container),
  })
  const slowWriteMs = options.settleAgeMs / 2
  const objects = new ObjectWrites({
    ...parts,
    reads,
    writes,
    rows,
    objectRows,
    settler,
    slowWriteMs,
  })
  const devices = () => replicas.all(options.policies)
  const updater = new Updater({
    devices,
    timing,
    log,
    syncAccountRow,
    settle: (finding, at) => settler.settle(finding, at),
    settleAgeMs: options.settleAgeMs,
    pace: new Pace(clock, { perSecond: options.settlePerSecond }),
  })
  const expirer = new Expirer({
    ...parts,
    devices,
    delays: new ExpiryDelays(options.expiryDelays),
    expire: (path, deleteAt) => objects.expire(path, deleteAt),
    pace: new Pace(clock, { perSecond: options.expirePerSecond }),
  })
  const streams = { ...parts, objects, sloppy }
  const passes = [
    daemon('totals', () => updater.updateTotals(), {
      idleMs: options.idleMs,
      waiting: () => updater.totalsWaiting,
    }),
    // Nobody waits for these: what they find is a minute old, or hidden from clients already.
    daemon('settle', () => updater.settleUnconfirmed(), {
      idleMs: options.patientMs,
      waiting: () => updater.unsettled,
    }),
    daemon('expire', () => expirer.pass(), {
      idleMs: options.patientMs,
      waiting: () => expirer.due,
    }),
  ]

  function daemon(
    name: string,
    run: () => Promise<boolean>,
    extra: { readonly waiting: () => number; readonly idleMs: number },
  ): PeriodicPass {
    return new PeriodicPass({ name, clock, log, run, busyMs: options.totalsMs, ...extra })
  }

  function containerRows(account: string): RowSource {
    return {
      list: keys.account(account),
      itemOf: (row) => keys.container(account, row.name),
      rowOf: (info, { name, ballot }) =>
        rowOfContainer(info, { name, policy: policyOf(info), ballot }),
    }
  }

  function rowsOf(account: string, container: string): RowSource {
    return {
      list: keys.container(account, container),
      // By the container's policy: a row of an earlier container with another one says nothing of this one's object.
      itemOf: (row: ListRow, info: ItemInfo) =>
        keys.object({ account, container, object: row.name, policy: policyOf(info) }),
      rowOf: (info, { name }) => rowOfObject(info, name),
    }
  }

  /** Whether anything is listed: what only replicas that lag still have is not. */
  async function hasRows(list: ItemKey): Promise<boolean> {
    const page = await listings.page(sourceOf(list), { limit: LOOKED_FOR_MAX })
    return page !== null && page.entries.length > 0
  }

  function sourceOf(list: ItemKey): RowSource {
    const { account, container } = splitName(list.name)
    return container === undefined ? containerRows(account) : rowsOf(account, container)
  }

  /** A page for who looks at the totals beside it, too. */
  async function pageWithTotals(source: RowSource, query: ListQuery): Promise<ListPage | null> {
    const page = await listings.page(source, query)
    return page && { ...page, info: await totals.settled(source.list, page.info) }
  }

  async function copyObject(path: ObjectPath, read: ItemRead, condition: Condition) {
    const { body, info } = read
    const { meta } = info
    if (body === null || body instanceof Uint8Array) {
      return objects.put(path, { meta, body: body ?? new Uint8Array(0), condition })
    }
    const writer = await openObjectStream(streams, path)
    try {
      for await (const piece of body.stream(0, body.bytes)) await writer.write(piece)
      return await writer.commit(meta, condition)
    } catch (error) {
      await writer.abort()
      throw error
    }
  }

  async function listAccounts(query: ListQuery): Promise<AccountPage> {
    const rows = await directory.list('accounts', query)
    const accounts: { readonly name: string; readonly info: ItemInfo }[] = []
    await forEachParallel(rows, ACCOUNTS_READ_MAX, async ({ name }) => {
      const info = await containers.readAccount(name, { totals: true })
      if (info !== null) accounts.push({ name, info })
    })
    accounts.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
    return { accounts, next: rows.length < query.limit ? null : rows.at(-1)!.name }
  }

  /** Also after a failure, whose change may have been made; loads that began during it may have seen the old state. */
  async function changed<T>(name: string, change: () => Promise<T>): Promise<T> {
    try {
      return await change()
    } finally {
      marks.note(name)
    }
  }

  const asked = guardAll({
    readAccount: (account: string, wanted?: ReadListOptions) =>
      containers.readAccount(account, wanted),
    async putAccount(account: string, meta: ItemMeta) {
      const outcome = await changed(account, () => containers.changeAccount(account, 'put', meta))
      jobs.add('account row', () => directory.note(account))
      return outcome
    },
    postAccount: (account: string, meta: ItemMeta) =>
      changed(account, () => containers.changeAccount(account, 'post', meta)),
    async deleteAccount(account: string) {
      if ((await containers.readAccount(account)) === null) return { status: 'not-found' } as const
      // First, so that a crash in between leaves nothing marked that the reaper does not know.
      await directory.noteDeleted(account)
      const atSeconds = Math.floor(clock.nowMs() / 1000)
      return changed(account, () => containers.markAccount(account, atSeconds))
    },
    listAccounts: (query: ListQuery) => listAccounts(query),
    listAccount: (account: string, query: ListQuery) =>
      pageWithTotals(containerRows(account), query),
    readContainer: (account: string, container: string, wanted?: ReadListOptions) =>
      containers.readContainer(account, container, wanted),
    putContainer: (account: string, container: string, put: ContainerPut) =>
      changed(`${account}/${container}`, () => containers.putContainer(account, container, put)),
    postContainer: (account: string, container: string, meta: ItemMeta) =>
      changed(`${account}/${container}`, () => containers.postContainer(account, container, meta)),
    deleteContainer: (account: string, container: string) =>
      changed(`${account}/${container}`, () => containers.deleteContainer(account, container)),
    async listContainer(account: string, container: string, query: ListQuery) {
      const page = await pageWithTotals(rowsOf(account, container), query)
      return page === null ? null : { ...page, info: containerInfo(page.info) }
    },
    async readItem(path: ObjectPath, item: ItemKey, read?: ReadOptions) {
      const found = live(await reads.read(item, read))
      if (found !== null || options.policies.length === 1) return found
      // What is missed may stand in another policy, if the container was made again and is known here as it was.
      const current = await currentSettings(path)
      if (current === null || current.policy === path.policy) return null
      return live(await reads.read(keys.object({ ...path, policy: current.policy }), read))
    },
    putObject: (path: ObjectPath, put: ObjectPut) => objects.put(path, put),
    openObject: (path: ObjectPath) => openObjectStream(streams, path),
    postObject: (path: ObjectPath, post: ObjectPost) => objects.post(path, post),
    deleteObject: (path: ObjectPath, deletion?: { readonly condition?: Condition }) =>
      objects.delete(path, deletion?.condition),
  })

  const reaper = new Reaper({
    ...parts,
    log,
    directory,
    backend: asked,
    async removeAccount(account) {
      const { status } = await containers.changeAccount(account, 'delete')
      return status === 'done' || status === 'not-found'
    },
    pace: new Pace(clock, { perSecond: options.reapPerSecond }),
    delayMs: options.delayReapingMs,
    reclaimMs: options.accountReclaimMs,
  })
  const reaping = { waiting: () => reaper.waiting, idleMs: options.reapIdleMs }
  passes.push(daemon('reap', () => reaper.pass(), reaping))
  const { readItem, ...rest } = asked
  return {
    ...rest,
    marks,
    counters,
    readObject(path, options) {
      try {
        const item = keys.object(path)
        return reads.readNow(item, options) ?? readItem(path, item, options)
      } catch (error) {
        return Promise.reject(asBackendError(error))
      }
    },
    cachedContainer: (account, container) => cache.get(account, container),
    start() {
      for (const pass of passes) pass.start(options.totalsMs)
    },
    async settleAfterStart({ timeMsMax }) {
      const endMs = clock.monotonicMs() + timeMsMax
      let left = SETTLE_PASSES_MAX
      const settleAtOnce = () => updater.settleUnconfirmed(0, { atOnce: true })
      while (left-- > 0 && clock.monotonicMs() < endMs && (await settleAtOnce())) {
        // One pass takes some of each device.
      }
    },
    activity: () => ({
      daemons: passes.map(({ status }) => status),
      jobsWaiting: jobs.waiting,
      jobsDropped: jobs.dropped,
      jobsFailed: jobs.failed,
      devicesLeftAlone: devices().filter(({ health }) => !health.available()).length,
    }),
    async close() {
      await Promise.all(passes.map((pass) => pass.stop()))
      await jobs.close()
    },
    async runDaemonsOnce() {
      for (const name of ['settle', 'totals', 'expire', 'reap']) {
        await passes.find((pass) => pass.status.name === name)!.once()
      }
    },
  }
}

function live(read: ItemRead | null): ItemRead | null {
  return read === null || read.info.deleted ? null : read
}

type ContainerPut = Parameters<Backend['putContainer']>[2]
type ObjectPut = Parameters<Backend['putObject']>[1]

/** Failures of devices become what clients may see; what would be thrown at once rejects. */
function guardAll<M extends object>(methods: M): M {
  const guarded = Object.entries(methods).map(([name, method]) => [
    name,
    guard(method as (...parameters: unknown[]) => Promise<unknown>),
  ])
  return Object.fromEntries(guarded) as M
}

function guard<A extends unknown[], T>(
  method: (...parameters: A) => Promise<T>,
): (...parameters: A) => Promise<T> {
  const rethrow = (error: unknown): never => {
    throw asBackendError(error)
  }
  return (...parameters) => {
    try {
      return method(...parameters).catch(rethrow)
    } catch (error) {
      return Promise.reject(asBackendError(error))
    }
  }
}
