import { ServiceError } from './errors.ts'

/**
 * A configuration file being read: JSON at the border, parsed once into typed values. Every failure is a 400
 * `BadConfig` that names the file and the setting; a setting nobody asked for is one too, so that a typing mistake
 * does not silently leave the default.
 *
 *   const config = parseConfig(text, path)
 *   const options = { host: config.text('host', '127.0.0.1'), port: config.integer('port', { min: 1, max: 65535 }) }
 *   config.end()
 */
export class Config {
  readonly #values: Readonly<Record<string, unknown>>
  readonly #place: string
  readonly #asked = new Set<string>()

  constructor(value: unknown, place: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw bad(`${place}: must be an object`)
    }
    this.#values = value as Readonly<Record<string, unknown>>
    this.#place = place
  }

  /** Whether the setting is there. */
  has(name: string): boolean {
    return Object.hasOwn(this.#values, name)
  }

  /** Whether the setting is there and says that there shall be none: null. */
  isNull(name: string): boolean {
    return this.has(name) && this.#take(name) === null
  }

  /** The settings that are there, in their order. */
  names(): readonly string[] {
    return Object.keys(this.#values)
  }

  /** A text that is not empty. */
  text(name: string, byDefault?: string): string {
    const value = this.#take(name, byDefault)
    if (typeof value !== 'string' || value === '') throw this.wrong(name, 'must be a text')
    return value
  }

  integer(
    name: string,
    range: { readonly min: number; readonly max: number; readonly byDefault?: number },
  ): number {
    const value = this.#take(name, range.byDefault)
    if (
      !Number.isInteger(value) ||
      (value as number) < range.min ||
      (value as number) > range.max
    ) {
      throw this.wrong(name, `must be a whole number from ${range.min} to ${range.max}`)
    }
    return value as number
  }

  /** Any number in the range. */
  number(name: string, range: { readonly min: number; readonly max: number }): number {
    const value = this.#take(name)
    if (typeof value !== 'number' || !(value >= range.min && value <= range.max)) {
      throw this.wrong(name, `must be a number from ${range.min} to ${range.max}`)
    }
    return value
  }

  /** Bytes: a number, or a text such as `64MiB`. */
  bytes(
    name: string,
    range: { readonly min: number; readonly max: number; readonly byDefault?: number },
  ): number {
    const value = this.#take(name, range.byDefault)
    const bytes = typeof value === 'string' ? parseBytes(value) : value
    if (
      !Number.isInteger(bytes) ||
      (bytes as number) < range.min ||
      (bytes as number) > range.max
    ) {
      throw this.wrong(
        name,
        `must be a size from ${formatBytes(range.min)} to ${formatBytes(range.max)}`,
      )
    }
    return bytes as number
  }

  boolean(name: string, byDefault?: boolean): boolean {
    const value = this.#take(name, byDefault)
    if (typeof value !== 'boolean') throw this.wrong(name, 'must be true or false')
    return value
  }

  oneOf<const T extends string>(name: string, choices: readonly T[], byDefault?: T): T {
    const value = this.#take(name, byDefault)
    const choice = choices.find((one) => one === value)
    if (choice === undefined) throw this.wrong(name, `must be one of ${choices.join(', ')}`)
    return choice
  }

  /** A list of texts; empty if there is none. */
  texts(name: string): readonly string[] {
    const value = this.#take(name, [])
    if (!Array.isArray(value) || !value.every((one) => typeof one === 'string' && one !== '')) {
      throw this.wrong(name, 'must be a list of texts')
    }
    return value
  }

  /** A list of some of the choices; empty if there is none. */
  choices<const T extends string>(name: string, choices: readonly T[]): readonly T[] {
    const texts: readonly string[] = this.texts(name)
    if (texts.every((text) => choices.some((choice) => choice === text)))
      return texts as readonly T[]
    throw this.wrong(name, `must be a list of ${choices.join(', ')}`)
  }

  /** An object within this one; whoever reads it ends it. */
  object(name: string): Config {
    return new Config(this.#take(name), `${this.#place}: ${name}`)
  }

  /** An object that is read whole, or false: what it would set is switched off. Undefined if there is neither. */
  part<T>(name: string, read: (config: Config) => T): T | false | undefined {
    if (!this.has(name)) return undefined
    const value = this.#take(name)
    if (value === false) return false
    return readWhole(value, `${this.#place}: ${name}`, read)
  }

  /** A list of objects, each read by `read` and ended. */
  list<T>(name: string, read: (config: Config) => T): readonly T[] {
    const value = this.#take(name)
    if (!Array.isArray(value)) throw this.wrong(name, 'must be a list')
    return value.map((one, index) => readWhole(one, `${this.#place}: ${name}[${index}]`, read))
  }

  /** Throws for a setting that was not asked for. */
  end(): void {
    const unknown = Object.keys(this.#values).filter((name) => !this.#asked.has(name))
    if (unknown.length === 0) return
    throw bad(`${this.#place}: unknown setting ${unknown.join(', ')}`)
  }

  #take(name: string, byDefault?: unknown): unknown {
    this.#asked.add(name)
    const value = this.has(name) ? this.#values[name] : byDefault
    if (value === undefined) throw this.wrong(name, 'is missing')
    return value
  }

  /** What to throw where a setting is not right in a way that only its reader knows. */
  wrong(name: string, what: string): ServiceError {
    return bad(`${this.#place}: ${name} ${what}`)
  }
}

/** Reads a configuration file's text; `place` is its path, for messages. */
export function parseConfig(text: string, place: string): Config {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw bad(`${place}: not JSON: ${(cause as Error).message}`, cause)
  }
  return new Config(value, place)
}

/** Reads a whole object: what `read` takes is all there may be. */
export function readWhole<T>(value: unknown, place: string, read: (config: Config) => T): T {
  const config = new Config(value, place)
  const result = read(config)
  config.end()
  return result
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
}

/** The bytes of `512`, `64MiB`, `64Mi`, `1GB` or `1.5g`; null for anything else. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?$/i.exec(text.trim())
  const unit = match === null ? undefined : UNITS[match[2]!.toLowerCase()]
  if (match === null || unit === undefined) return null
  const bytes = Number(match[1]) * unit
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** `64 MiB`, `1.5 GiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let power = 0
  while (bytes >= 1024 ** (power + 1) && power < names.length - 1) power++
  const value = bytes / 1024 ** power
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${names[power]}`
}

function bad(message: string, cause?: unknown): ServiceError {
  return new ServiceError('BadConfig', message, { status: 400, cause })
}
