/** The messages that answer a query: made while the object is read, in a thread of its own. */
import type { Clock } from '../../../common/clock.ts'
import { ServiceError } from '../../../common/errors.ts'
import {
  type ReadRange,
  type ThreadWork,
  throughThread,
  WorkFailure,
  workFile,
} from '../../threads/thread-work.ts'
import {
  countsMessage,
  errorMessage,
  plainMessage,
  recordsMessage,
  type SelectCounts,
} from './event-stream.ts'
import type { ParquetPlan } from './parquet/parquet-scan.ts'
import { SELECT_ERRORS, SelectError } from './select-error.ts'
import type { SelectRequest } from './select-request.ts'
import type { SelectPlan } from './select-scan.ts'
import type { Query } from './sql/query.ts'

/** Said when nothing else was for so long. */
const QUIET_MS = 1_000

export interface SelectSource {
  /**
   * What the rows are in, from its beginning to its end or, of Parquet, wherever it is asked for. Throws SelectError for what is not
   * packed as it should be.
   */
  unpacked(): AsyncIterable<Uint8Array> | ReadRange
  /** What was read of the object so far. */
  readonly scanned: number
}

/** What a thread is to do of a query over so many bytes. */
export function selectWork(
  { input, output, range }: SelectRequest,
  of: { readonly query: Query; readonly nowMs: number; readonly bytes: number },
): ThreadWork<SelectPlan | ParquetPlan> {
  if (input.format === 'parquet') {
    const file = workFile('parquet/parquet-worker', import.meta.url)
    return { file, data: { ...of, output, range } }
  }
  const { query, nowMs } = of
  const data = { request: { input, output }, query, nowMs }
  return { file: workFile('select-worker', import.meta.url), data }
}

/** The whole answer; a query that fails ends with a message that says so. */
export async function* selectAnswer(
  source: SelectSource,
  work: ReturnType<typeof selectWork>,
  options: {
    readonly progress: boolean
    readonly clock: Clock
    readonly onError: (error: unknown) => void
  },
): AsyncGenerator<Uint8Array> {
  const { clock, progress } = options
  let [processed, returned] = [0, 0]
  const counts = (): SelectCounts => ({ scanned: source.scanned, processed, returned })
  let saidMs = clock.monotonicMs()
  try {
    for await (const event of throughThread(source.unpacked(), work)) {
      if (event.kind === 'data') {
        returned += event.bytes.length
        yield recordsMessage(event.bytes)
        saidMs = clock.monotonicMs()
        continue
      }
      processed += event.bytes
      if (clock.monotonicMs() - saidMs < QUIET_MS) continue
      yield progress ? countsMessage('Progress', counts()) : plainMessage('Cont')
      saidMs = clock.monotonicMs()
    }
  } catch (error) {
    const known = isExpected(error) ? error : asOwnFailure(error)
    if (known.code === 'InternalError') options.onError(error)
    yield errorMessage(known)
    return
  }
  if (progress) yield countsMessage('Progress', counts())
  yield countsMessage('Stats', counts())
  yield plainMessage('End')
}

/** What went wrong inside, without a word of it. */
function asOwnFailure(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof ServiceError && error.status === 503) {
    return { code: 'ServiceUnavailable', message: 'Service is unable to handle request.' }
  }
  return { code: 'InternalError', message: 'An internal error occurred. Try again.' }
}

function isExpected(error: unknown): error is { readonly code: string; readonly message: string } {
  if (error instanceof SelectError) return true
  if (!(error instanceof WorkFailure)) return false
  return error.code !== undefined && Object.hasOwn(SELECT_ERRORS, error.code)
}
