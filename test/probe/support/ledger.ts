/**
 * What clients were told, against which a store is held after a crash. For each name the ledger keeps the set of
 * states that the store may rightly show: one after an acknowledgement, more while an operation is in flight or has
 * failed without saying whether it happened. A state that was once seen must stay.
 */

/** A stored body by length and hex MD5, or null: nothing there. */
export type ObjectState = { readonly bytes: number; readonly md5: string } | null

export const FINDING_KINDS = [
  'lost',
  'resurrected',
  'stale',
  'wrong',
  'unreadable',
  'row-lost',
  'row-ghost',
  'row-wrong',
] as const
export type FindingKind = (typeof FINDING_KINDS)[number]

/** A broken promise. */
export interface Finding {
  readonly kind: FindingKind
  readonly name: string
  readonly detail: string
}

/** A row of a container listing, as the JSON listing gives it. */
export interface ListedRow {
  readonly name: string
  readonly bytes: number
  readonly hash: string
}

interface Entry {
  possible: ObjectState[]
  /** The last operation had no answer: its row may follow later, when the store settles it. */
  inDoubt: boolean
  /** MD5s acknowledged before the current ones, to tell a stale body from a wrong one. */
  readonly past: Set<string>
}

export class Ledger {
  readonly #entries = new Map<string, Entry>()
  /** Operations acknowledged. */
  acknowledged = 0
  /** Operations whose outcome is not known. */
  unknown = 0

  get size(): number {
    return this.#entries.size
  }

  names(): string[] {
    return [...this.#entries.keys()]
  }

  possible(name: string): readonly ObjectState[] {
    return this.#entries.get(name)?.possible ?? [null]
  }

  /** An operation goes out that would leave the state; call before the first byte is sent. */
  begin(name: string, state: ObjectState): void {
    const entry = this.#entry(name)
    entry.possible.push(state)
    entry.inDoubt = true
  }

  /** The store said that it is done. */
  acknowledge(name: string, state: ObjectState): void {
    this.acknowledged++
    const entry = this.#entry(name)
    this.#pin(entry, state)
    entry.inDoubt = false
  }

  /** The store said no, or nothing: the operation may have happened. */
  leaveOpen(): void {
    this.unknown++
  }

  /** Holds what the store shows for the name against what was promised; null if it is right. */
  observe(name: string, seen: ObjectState): Finding | null {
    const entry = this.#entry(name)
    if (entry.possible.some((state) => sameState(state, seen))) {
      this.#pin(entry, seen)
      return null
    }
    const detail = `shows ${text(seen)}, may be ${entry.possible.map(text).join(' or ')}`
    if (seen === null) return { kind: 'lost', name, detail }
    if (entry.past.has(seen.md5)) return { kind: 'stale', name, detail }
    return {
      kind: entry.possible.every((state) => state === null) ? 'resurrected' : 'wrong',
      name,
      detail,
    }
  }

  /** Names whose last operation had no answer. */
  inDoubtCount(): number {
    return [...this.#entries.values()].filter((entry) => entry.inDoubt).length
  }

  /**
   * Holds a complete listing against the states; call after every name has been observed. Unless everything is settled,
   * rows of names in doubt may still disagree.
   */
  observeListing(
    rows: readonly ListedRow[],
    options: { readonly allSettled: boolean } = { allSettled: true },
  ): Finding[] {
    const findings: Finding[] = []
    const listed = new Map(rows.map((row) => [row.name, row]))
    for (const [name, entry] of this.#entries) {
      if (entry.inDoubt && !options.allSettled) continue
      const row = listed.get(name)
      const shown: ObjectState = row ? { bytes: row.bytes, md5: row.hash } : null
      if (entry.possible.some((state) => sameState(state, shown))) continue
      const detail = `row ${text(shown)}, object ${entry.possible.map(text).join(' or ')}`
      if (shown === null) findings.push({ kind: 'row-lost', name, detail })
      else
        findings.push({
          kind: entry.possible.includes(null) ? 'row-ghost' : 'row-wrong',
          name,
          detail,
        })
    }
    for (const name of listed.keys()) {
      if (!this.#entries.has(name))
        findings.push({ kind: 'row-ghost', name, detail: 'never written' })
    }
    return findings
  }

  #entry(name: string): Entry {
    let entry = this.#entries.get(name)
    if (!entry) {
      entry = { possible: [null], inDoubt: false, past: new Set() }
      this.#entries.set(name, entry)
    }
    return entry
  }

  #pin(entry: Entry, state: ObjectState): void {
    for (const old of entry.possible) if (old) entry.past.add(old.md5)
    entry.possible = [state]
  }
}

function sameState(a: ObjectState, b: ObjectState): boolean {
  return a === null || b === null ? a === b : a.md5 === b.md5 && a.bytes === b.bytes
}

function text(state: ObjectState): string {
  return state === null ? 'nothing' : `${state.bytes} bytes ${state.md5.slice(0, 8)}`
}
