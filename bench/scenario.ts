/** One cell of the benchmark: what is asked of a server. */
export interface Scenario {
  /** `put-4k-c64`. */
  readonly id: string
  readonly method: 'PUT' | 'GET'
  readonly bytes: number
  /** Connections, each with one request in flight. */
  readonly concurrency: number
}

const KIB = 1024
const MIB = 1024 * KIB

/** Body sizes with their name, the concurrencies they are measured at, and how many of them a GET chooses from. */
export const SIZES = [
  { name: '4k', bytes: 4 * KIB, concurrencies: [1, 16, 64], storedCount: 5000 },
  { name: '1m', bytes: MIB, concurrencies: [1, 16, 64], storedCount: 64 },
  { name: '64m', bytes: 64 * MIB, concurrencies: [1], storedCount: 2 },
] as const

/** PUT before GET; sizes from small to large. */
export function allScenarios(): Scenario[] {
  return SIZES.flatMap((size) =>
    (['PUT', 'GET'] as const).flatMap((method) =>
      size.concurrencies.map((concurrency) => ({
        id: `${method.toLowerCase()}-${size.name}-c${concurrency}`,
        method,
        bytes: size.bytes,
        concurrency,
      })),
    ),
  )
}
