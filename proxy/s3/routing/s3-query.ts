import { fromWire } from '../../wire-text.ts'
import { S3Error } from '../s3-error.ts'
import type { QueryPairs } from '../signature/canonical.ts'

/** A request's parameters as text; the first of a name counts. */
export class S3Query {
  readonly #values = new Map<string, string>()

  constructor(pairs: QueryPairs) {
    for (const [name, value] of pairs) if (!this.#values.has(name)) this.#values.set(name, value)
  }

  get isEmpty(): boolean {
    return this.#values.size === 0
  }

  get names(): readonly string[] {
    return [...this.#values.keys()]
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  /** Its text; InvalidArgument if that is not UTF-8. */
  get(name: string): string | undefined {
    const value = this.#values.get(name)
    if (value === undefined) return undefined
    const text = fromWire(value)
    if (text === null || text.includes('\0')) throw invalid(name, value)
    return text
  }

  /** A whole number of at most that much, `otherwise` if it is absent or empty; InvalidArgument for what is none. */
  count(
    name: string,
    { max, otherwise }: { readonly max: number; readonly otherwise: number },
  ): number {
    const text = this.get(name)
    if (text === undefined || text === '') return otherwise
    if (!/^\d{1,10}$/.test(text) || Number(text) > 2 ** 31 - 1) {
      throw new S3Error(
        'InvalidArgument',
        `Argument ${name} must be an integer between 0 and 2147483647`,
        { ArgumentName: name, ArgumentValue: text },
      )
    }
    return Math.min(Number(text), max)
  }
}

function invalid(name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', `Argument ${name} is not UTF-8`, {
    ArgumentName: name,
    ArgumentValue: value,
  })
}
