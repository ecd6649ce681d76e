/** One seed by the names of its options: what the command, its worker processes and the tests share. */
import { OPERATION_KINDS, type OperationKind, showOperation } from '../checker/history.ts'
import { plantedFault } from './planted-faults.ts'
import { simulate, type Violation } from './simulate.ts'

export interface SeedOrder {
  readonly seed: number
  /** Name of a planted fault; empty for none. */
  readonly plant: string
  /** Kinds of operations; empty for all. */
  readonly kinds: readonly OperationKind[]
}

/** Plain data: it crosses processes. */
export interface SeedReport {
  readonly seed: number
  readonly operations: number
  readonly acknowledged: number
  readonly violations: readonly Violation[]
  readonly hash: string
}

/** Runs the seed; with `story` also what happened, line by line. */
export async function runSeed(
  order: SeedOrder,
  story?: (line: string) => void,
): Promise<SeedReport> {
  const { seed, plant, kinds } = order
  const result = await simulate({
    seed,
    planted: plantedFault(plant) ?? null,
    ...(kinds.length === 0 ? {} : { kinds }),
    ...(story === undefined ? {} : { tell: story }),
  })
  const { operations, violations, hash } = result
  if (story !== undefined) {
    const failing = new Set(violations.map(({ key }) => key))
    for (const operation of operations) {
      const isOfInterest = failing.size === 0 || failing.has(operation.key)
      if (isOfInterest || operation.kind === 'list') story(showOperation(operation))
    }
  }
  return {
    seed,
    operations: operations.length,
    acknowledged: operations.filter(({ outcome }) => outcome === 'ok').length,
    violations,
    hash,
  }
}

/** How a person runs the same seed again. */
export function replayCommand({ seed, plant, kinds }: SeedOrder): string {
  const planted = plant === '' ? '' : ` --plant ${plant}`
  const chosen = kinds.length === 0 ? '' : ` --kinds ${kinds.join(',')}`
  return `npm run sim -- --seeds 1 --seed ${seed}${planted}${chosen} --verbose`
}

export function parseKinds(text: string): OperationKind[] {
  if (text === '') return []
  return text.split(',').map((word) => {
    const kind = OPERATION_KINDS.find((known) => known === word)
    if (kind === undefined) throw new Error(`no kind of operation: ${word}`)
    return kind
  })
}
