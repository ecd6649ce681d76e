import type { Clock } from '../../common/clock.ts'
import type { Exchange } from '../exchange.ts'
import type { Reply } from '../reply.ts'
import { isTrue } from './query.ts'

/** Between two blanks: shorter than what clients and balancers wait for. */
export const HEARTBEAT_MS = 10_000
const BLANK = Buffer.from(' ')

export function wantsHeartbeat(exchange: Exchange): boolean {
  return isTrue(exchange.query.get('heartbeat'))
}

/**
 * A 202 at once and blanks while the work goes on, then what it came to: nobody on the way takes a long silence for a
 * connection that is dead. Whether it went well is in the text.
 */
export function heartbeatReply(
  exchange: Exchange,
  answer: { readonly contentType: string; readonly work: Promise<string> },
): Reply {
  const { work, contentType } = answer
  work.catch(ignore)
  return {
    status: 202,
    headers: ['Content-Type', contentType],
    body: {
      bytes: null,
      pieces: () => beats(exchange.proxy.clock, work),
      close: async () => {},
    },
  }
}

async function* beats(clock: Clock, work: Promise<string>): AsyncGenerator<Uint8Array> {
  yield BLANK
  for (;;) {
    const ended = await endedWithin(clock, work, HEARTBEAT_MS)
    if (ended !== null) {
      yield Buffer.from(ended)
      return
    }
    yield BLANK
  }
}

/** Null if it has not ended by then. */
function endedWithin(clock: Clock, work: Promise<string>, ms: number): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => resolve(null))
    work.then(resolve, reject).finally(cancel)
  })
}

function ignore(): void {}
