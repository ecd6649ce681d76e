import { directoryUnfit } from './identity-driver.ts'

/** The options of a group of a domain's configuration, as the API keeps them: any JSON. */
export type DirectoryOptions = Readonly<Record<string, unknown>>

/** Reads options as Keystone's configuration files have them; null counts as absent. Throws 503 `DirectoryUnfit`. */
export class OptionReader {
  readonly #group: string
  readonly #options: DirectoryOptions

  constructor(group: string, options: DirectoryOptions) {
    this.#group = group
    this.#options = options
  }

  /** Empty if it is not there. */
  text(name: string, byDefault = ''): string {
    const value = this.#value(name) ?? byDefault
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    if (typeof value !== 'string') throw this.#wrong(name, 'must be a text')
    return value
  }

  integer(
    name: string,
    range: { readonly min: number; readonly max: number; readonly byDefault: number },
  ): number {
    const value = Number(this.#value(name) ?? range.byDefault)
    if (!Number.isInteger(value) || value < range.min || value > range.max) {
      throw this.#wrong(name, `must be a whole number from ${range.min} to ${range.max}`)
    }
    return value
  }

  flag(name: string, byDefault: boolean): boolean {
    const value = this.#value(name) ?? byDefault
    if (typeof value === 'boolean') return value
    const text = String(value).toLowerCase()
    if (['true', '1', 'yes', 'on'].includes(text)) return true
    if (['false', '0', 'no', 'off'].includes(text)) return false
    throw this.#wrong(name, 'must be true or false')
  }

  oneOf<const T extends string>(name: string, choices: readonly T[], byDefault: T): T {
    const value = this.text(name, byDefault)
    const choice = choices.find((one) => one === value)
    if (choice === undefined) throw this.#wrong(name, `must be one of ${choices.join(', ')}`)
    return choice
  }

  /** A list, or a text with commas. */
  texts(name: string): readonly string[] {
    const value = this.#value(name) ?? []
    const items = Array.isArray(value) ? value.map(String) : this.text(name).split(',')
    return items.map((item) => item.trim()).filter((item) => item !== '')
  }

  #value(name: string): unknown {
    const value = Object.hasOwn(this.#options, name) ? this.#options[name] : undefined
    return value === null ? undefined : value
  }

  #wrong(name: string, what: string) {
    return directoryUnfit(`${this.#group} ${name} ${what}`)
  }
}
