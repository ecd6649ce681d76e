import { ServiceError } from '../common/errors.ts'

/** An expected failure whose answer has headers of its own. */
export class Refusal extends ServiceError {
  /** Name, value, name, value …; text. */
  readonly headers: readonly string[]

  constructor(status: number, message: string, headers: readonly string[]) {
    super(`Status${status}`, message, { status })
    this.headers = headers
  }
}
