import type { Clock } from '../../../common/clock.ts'

/**
 * The text that the work comes to, with a sign of life before it whenever the work has taken so long again: first `first`,
 * then blanks, and an empty line before the text if there was any.
 */
export async function* pulse(
  run: () => Promise<string>,
  options: { readonly clock: Clock; readonly everyMs: number; readonly first: string },
): AsyncGenerator<Uint8Array> {
  const { clock, everyMs, first } = options
  const work = run()
  let beats = 0
  for (;;) {
    const text = await within(clock, work, everyMs)
    if (text !== null) {
      yield Buffer.from(beats === 0 ? text : `\r\n\r\n${text}`)
      return
    }
    yield Buffer.from(beats++ === 0 ? first : ' ')
  }
}

/** Null if it is not done by then. */
function within(clock: Clock, work: Promise<string>, ms: number): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => resolve(null))
    work.then(resolve, reject).finally(cancel)
  })
}
