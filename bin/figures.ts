/** What is shown to Prometheus of a thing, as a table of figures, each read when the page is asked for. */
import { Counter, Gauge, type Registry } from 'prom-client'

/** How the figures of a process's threads become one. */
type Aggregator = 'sum' | 'min' | 'max'

export interface Figure<T> {
  readonly name: string
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly aggregator: Aggregator
  /** Undefined: there is nothing to be shown. */
  readonly of: (from: T) => number | undefined
}

/** What only grows until the process ends. */
export function counter<T>(name: string, help: string, of: Figure<T>['of']): Figure<T> {
  return { name, help, kind: 'counter', aggregator: 'sum', of }
}

/** What goes up and down. */
export function gauge<T>(
  name: string,
  help: string,
  aggregator: Aggregator,
  of: Figure<T>['of'],
): Figure<T> {
  return { name, help, kind: 'gauge', aggregator, of }
}

/** Things by the value of their label. */
type Readings<T> = readonly (readonly [string, T])[]

/** Shows the figures of each thing that is read. All figures of a page show one reading, and that of this page. */
export function expose<T>(
  registry: Registry,
  figures: readonly Figure<T>[],
  label: string | null,
  read: () => Promise<Readings<T>> | Readings<T>,
): void {
  const labelNames = label === null ? [] : [label]
  const labelsOf = (value: string) => (label === null ? {} : { [label]: value })
  const readOnce = shared(async () => read())
  for (const { name, help, kind, aggregator, of } of figures) {
    const registers = [registry]
    const take = async (note: (labels: Record<string, string>, value: number) => void) => {
      for (const [key, from] of await readOnce()) {
        const value = of(from)
        if (value !== undefined) note(labelsOf(key), value)
      }
    }
    if (kind === 'gauge') {
      new Gauge({
        ...{ name, help, labelNames, registers, aggregator },
        collect() {
          return take((labels, value) => this.set(labels, value))
        },
      })
    } else {
      new Counter({
        ...{ name, help, labelNames, registers },
        async collect() {
          this.reset()
          await take((labels, value) => this.inc(labels, value))
        },
      })
    }
  }
}

/** Whoever asks while an answer is on its way gets the same. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | null = null
  return () => {
    underWay ??= ask().finally(() => {
      underWay = null
    })
    return underWay
  }
}

/** Prometheus counts in seconds. */
export function secondsOf(ms: number): number {
  return ms / 1000
}
