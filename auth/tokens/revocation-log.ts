import { type Random, randomId } from '../../common/random.ts'
import type { StateStore, StateTransaction } from '../../common/state/state-store.ts'
import { Table } from '../../common/state/table.ts'
import type { TokenClaims } from '../../common/token/claims.ts'
import { type RevocationEvent, Revocations } from '../../common/token/revocation.ts'

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
  return String(Math.floor(ms)).padStart(16, '0')
}

/** The events that void tokens: kept in state as long as a token lives, and in memory to judge by. */
export class RevocationLog {
  readonly #state: StateStore
  readonly #random: Random
  #events: readonly RevocationEvent[] = []
  #judged = new Revocations([])

  constructor(state: StateStore, random: Random) {
    this.#state = state
    this.#random = random
  }

  /** All events, the oldest first. */
  get events(): readonly RevocationEvent[] {
    return this.#events
  }

  /** Adds an event in a transaction; `refresh` makes it count here. */
  async add(tx: StateTransaction, event: RevocationEvent): Promise<void> {
    await revocationRows.put(tx, { ...event, id: randomId(this.#random) })
  }

  /** Reads what other processes, or this one, have added. */
  async refresh(): Promise<void> {
    const rows = await revocationRows.list(this.#state)
    this.#events = rows.map(({ id, ...event }) => event)
    this.#judged = new Revocations(this.#events)
  }

  /** Forgets events from before a time: no token that they void can still be good. */
  async prune(beforeMs: number): Promise<void> {
    const old = this.#events.some(({ revokedAtMs }) => revokedAtMs < beforeMs)
    if (!old) return
    await this.#state.transaction(async (tx) => {
      for (const row of await revocationRows.list(tx)) {
        if (row.revokedAtMs >= beforeMs) return
        await revocationRows.delete(tx, timeKey(row.revokedAtMs), row.id)
      }
    })
    await this.refresh()
  }

  /**
   * Whether an event voids the token. Events of roles do not count here: the identity service looks at the roles that
   * the holder has now.
   */
  voids(claims: TokenClaims): boolean {
    return this.#judged.voids({ ...claims, roles: [] })
  }
}
