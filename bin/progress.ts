import { SingleBar } from 'cli-progress'

/** How far long work is: a bar on a terminal, nothing elsewhere. */
export interface Progress {
  /** So many more are done; `total` once more of them are known. */
  add(count: number, total?: number): void
  end(): void
}

/** `what` is what is counted: `objects`. */
export function startProgress(what: string, total: number): Progress {
  if (!process.stderr.isTTY) return { add() {}, end() {} }
  const bar = new SingleBar({
    format: `{bar} {value}/{total} ${what}, {eta_formatted} left`,
    etaBuffer: 100,
    stream: process.stderr,
    clearOnComplete: true,
  })
  let known = total
  bar.start(known, 0)
  return {
    add(count, more) {
      if (more !== undefined && more !== known) {
        known = more
        bar.setTotal(known)
      }
      bar.increment(count)
    },
    end: () => bar.stop(),
  }
}
