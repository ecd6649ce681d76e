import { createHash } from 'node:crypto'
import type { SeededRandom } from '../../support/seeded-random.ts'
import type { Ledger, ObjectState } from './ledger.ts'
import type { StoreClient } from './store-client.ts'

export interface LoadOptions {
  readonly client: StoreClient
  readonly ledger: Ledger
  readonly container: string
  readonly random: SeededRandom
  /** What the names begin with: different for loads that follow each other. */
  readonly names: string
  /** Clients at once. */
  readonly clients: number
  /** True ends the load. */
  readonly stopped: () => boolean
  /** False from when on acknowledgements no longer count; those operations are left open. */
  readonly counts?: () => boolean
  /** Called with the status of each answer, 0 for none, and when its request was sent (performance.now). */
  readonly onAnswer?: (status: number, sentMs: number) => void
}

/**
 * Clients that put (small bodies and, one in twenty, blobs), overwrite and delete, each under its own names and one
 * operation at a time, noting every acknowledgement in the ledger. An operation that fails is left open; the clients
 * go on until told to stop. Resolves when all have.
 */
export async function runLoad(options: LoadOptions): Promise<void> {
  const workers = Array.from({ length: options.clients }, (_, index) => runClient(options, index))
  await Promise.all(workers)
}

/** Resolves when so many more operations have been acknowledged, or after 20 s: a cut in the middle needs something to cut. */
export async function untilAcknowledged(ledger: Ledger, count: number): Promise<void> {
  const [wanted, endMs] = [ledger.acknowledged + count, performance.now() + 20_000]
  while (ledger.acknowledged < wanted && performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function runClient(options: LoadOptions, index: number): Promise<void> {
  const { random } = options
  const names: string[] = []
  for (let step = 0; !options.stopped(); step++) {
    const old = random.chance(0.3) ? random.pick(names) : undefined
    const name = old ?? `${options.names}/${index}/object-${step}`
    if (!old) names.push(name)
    if (old && random.chance(0.5)) await remove(options, name)
    else await put(options, name, bodyOf(`${name}#${step}#${random.below(1e9)}`, bodyBytes(random)))
  }
}

function bodyBytes(random: SeededRandom): number {
  if (random.chance(0.05)) return 64 * 1024 + random.below(1024 * 1024)
  return random.chance(0.1) ? random.below(64 * 1024) : random.below(8192)
}

/** A body that no other call makes: the label, repeated. */
export function bodyOf(label: string, bytes: number): Buffer {
  return Buffer.alloc(bytes, `${label}\n`)
}

/** What a store that holds the body shows. */
export function stateOf(body: Buffer): NonNullable<ObjectState> {
  return { bytes: body.length, md5: createHash('md5').update(body).digest('hex') }
}

async function put(options: LoadOptions, name: string, body: Buffer): Promise<void> {
  const state = stateOf(body)
  await attempt(options, { name, state, doneBy: [201] }, () =>
    options.client.send('PUT', `/${options.container}/${name}`, { body }),
  )
}

async function remove(options: LoadOptions, name: string): Promise<void> {
  // A 404 also says that nothing is there.
  await attempt(options, { name, state: null, doneBy: [204, 404] }, () =>
    options.client.send('DELETE', `/${options.container}/${name}`),
  )
}

async function attempt(
  options: LoadOptions,
  operation: {
    readonly name: string
    readonly state: ObjectState
    readonly doneBy: readonly number[]
  },
  send: () => Promise<number>,
): Promise<void> {
  const { ledger, onAnswer } = options
  ledger.begin(operation.name, operation.state)
  const sentMs = performance.now()
  const status = await send().catch(() => 0)
  onAnswer?.(status, sentMs)
  const isDone = operation.doneBy.includes(status)
  if (isDone && (options.counts?.() ?? true)) ledger.acknowledge(operation.name, operation.state)
  else {
    ledger.leaveOpen()
    // A store that refuses everything is not hammered.
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
