import { createHash } from 'node:crypto'
import type { Clock } from '../../common/clock.ts'
import { type Random, randomId } from '../../common/random.ts'
import type { StateStore, StateTransaction } from '../../common/state/state-store.ts'
import { Table } from '../../common/state/table.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import {
  encodeRevocation,
  type RevocationEvent,
  Revocations,
} from '../../common/token/revocation.ts'

interface RevocationRow extends RevocationEvent {
  readonly id: string
}

/** In the order of their times. */
const revocationRows = new Table<RevocationRow>({
  name: 'revocations',
  keyOf: ({ revokedAtMs, id }) => [timeKey(revokedAtMs), id],
  indexes: {},
})

function timeKey(ms: number): string {
  return String(Math.max(0, Math.floor(ms))).padStart(16, '0')
}

/** The list as services are given it. */
export interface PublishedRevocations {
  /** The same for the same events, in every process that serves them. */
  readonly etag: string
  readonly events: readonly { readonly revokedAtMs: number; readonly shown: unknown }[]
}

/**
 * An event is seen by others some time after the moment it names: a transaction takes up to 10 s, and their clocks are
 * not ours. So far back it is looked for, each time.
 */
const LATE_MS = 60_000
/** All is read again so often, should a clock be worse than that. */
const READ_ALL_MS = 60_000
/** Rows deleted in one transaction. */
const PRUNED_MAX = 1000

/** The events that void tokens: kept in state as long as a token lives, and in memory to judge by. */
export class RevocationLog {
  readonly #state: StateStore
  readonly #random: Random
  readonly #clock: Clock
  #events = new Map<string, RevocationEvent>()
  #judged = new Revocations([])
  #published: PublishedRevocations | null = null
  #readAllAtMs = Number.NEGATIVE_INFINITY
  #oldestMs = Number.POSITIVE_INFINITY

  constructor(
    state: StateStore,
    { clock, random }: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#state = state
    this.#random = random
    this.#clock = clock
  }

  /** How many events void tokens. */
  get count(): number {
    return this.#events.size
  }

  /** All events. */
  get events(): readonly RevocationEvent[] {
    return [...this.#events.values()]
  }

  /** The list for services, the oldest first. */
  get published(): PublishedRevocations {
    this.#published ??= publish(this.#events)
    return this.#published
  }

  /** Adds an event in a transaction; `refresh` makes it count here. */
  add(tx: StateTransaction, event: RevocationEvent): Promise<void> {
    return addRevocation(tx, event, this.#random)
  }

  /** Reads what other processes, or this one, have added: those of the last minute, and all of them once a minute. */
  async refresh(): Promise<void> {
    const monotonicMs = this.#clock.monotonicMs()
    const all = monotonicMs >= this.#readAllAtMs
    const after = all ? {} : { after: [timeKey(this.#clock.nowMs() - LATE_MS)] }
    const rows = await revocationRows.list(this.#state, after)
    if (all) this.#readAllAtMs = monotonicMs + READ_ALL_MS
    // Never one less: what was read meanwhile, and later, stays.
    for (const { id, ...event } of rows) {
      if (this.#events.has(id)) continue
      this.#events.set(id, event)
      this.#judged.add(event)
      this.#oldestMs = Math.min(this.#oldestMs, event.revokedAtMs)
      this.#published = null
    }
  }

  /** Forgets events from before a time: no token that they void can still be good. */
  async prune(beforeMs: number): Promise<void> {
    if (this.#oldestMs >= beforeMs) return
    while (await this.#pruneSome(beforeMs)) {}
    this.#events = new Map([...this.#events].filter(([, event]) => event.revokedAtMs >= beforeMs))
    this.#judged = new Revocations([...this.#events.values()])
    const times = [...this.#events.values()].map(({ revokedAtMs }) => revokedAtMs)
    this.#oldestMs = times.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
    this.#published = null
  }

  /** Whether there may be more. */
  #pruneSome(beforeMs: number): Promise<boolean> {
    return this.#state.transaction(async (tx) => {
      const rows = await revocationRows.list(tx, { limit: PRUNED_MAX })
      const old = rows.filter(({ revokedAtMs }) => revokedAtMs < beforeMs)
      for (const row of old) await revocationRows.delete(tx, ...revocationRows.keyOf(row))
      return old.length === PRUNED_MAX
    })
  }

  /**
   * Whether an event voids the token. Events of roles do not count here: the identity service looks at the roles that
   * the holder has now.
   */
  voids(claims: TokenClaims): boolean {
    return this.#judged.voids({ ...claims, roles: [] })
  }
}

/** Adds an event in a transaction, where nobody judges tokens yet. */
export async function addRevocation(
  tx: StateTransaction,
  event: RevocationEvent,
  random: Random,
): Promise<void> {
  await revocationRows.put(tx, { ...event, id: randomId(random) })
}

function publish(events: ReadonlyMap<string, RevocationEvent>): PublishedRevocations {
  const sorted = [...events].sort(
    ([idA, a], [idB, b]) => a.revokedAtMs - b.revokedAtMs || (idA < idB ? -1 : 1),
  )
  const hash = createHash('sha256')
  for (const [id] of sorted) hash.update(id)
  return {
    etag: `"${hash.digest('base64url')}"`,
    events: sorted.map(([, event]) => ({
      revokedAtMs: event.revokedAtMs,
      shown: encodeRevocation(event),
    })),
  }
}
