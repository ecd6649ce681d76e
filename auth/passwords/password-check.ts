import type { Clock } from '../../common/clock.ts'
import { Attempts } from '../attempts.ts'
import { verifyKey } from '../user-key.ts'

/** A hash that nobody's password has, of the current cost: unknown users take as long as known ones. */
const NOBODYS_HASH = `scrypt$8192$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`

/** Verifies passwords, few at once: each takes a thread for about 20 ms. */
export class PasswordCheck {
  readonly #attempts: Attempts

  constructor(clock: Clock) {
    // Lockout is per user and in state; here only the work is bounded.
    this.#attempts = new Attempts({
      monotonicMs: () => clock.monotonicMs(),
      failuresMax: Number.POSITIVE_INFINITY,
      namesMax: 1,
    })
  }

  /** How many wait to be verified. */
  get waiting(): number {
    return this.#attempts.waiting
  }

  /** Whether it is the password; takes as long where there is none. Throws 503 `Busy` if too many wait. */
  matches(password: string, hash: string | undefined): Promise<boolean> {
    return this.#attempts.run('', () => verifyKey(password, hash ?? NOBODYS_HASH))
  }
}
