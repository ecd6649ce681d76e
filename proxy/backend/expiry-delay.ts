/** How long objects are kept beyond their X-Delete-At, unseen: Swift's `delay_reaping_ACCOUNT` and `…_ACCOUNT/CONTAINER`. */
export interface ExpiryDelay {
  /** Absent: every account. */
  readonly account?: string
  /** Absent: every container of the account. */
  readonly container?: string
  readonly seconds: number
}

/** The delays by what they are for; what says most counts. */
export class ExpiryDelays {
  readonly #seconds = new Map<string, number>()
  /** Nothing is deleted earlier than so long behind its time. */
  readonly leastSeconds: number

  constructor(delays: readonly ExpiryDelay[]) {
    for (const { account, container, seconds } of delays) {
      this.#seconds.set(keyOf(account, container), seconds)
    }
    const all = this.#seconds.get('') ?? 0
    this.leastSeconds = Math.min(all, ...this.#seconds.values())
  }

  of(account: string, container: string): number {
    const seconds = this.#seconds
    return seconds.get(keyOf(account, container)) ?? seconds.get(account) ?? seconds.get('') ?? 0
  }
}

/** Neither name has a slash. */
function keyOf(account = '', container?: string): string {
  return container === undefined ? account : `${account}/${container}`
}
