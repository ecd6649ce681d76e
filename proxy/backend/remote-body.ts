import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { ServiceError } from '../../common/errors.ts'
import type { ItemKey } from '../../common/item.ts'
import type { BodyReader, BodyWriter, ItemWrite, WriteOutcome } from '../../common/storage-node.ts'
import {
  DATA_BYTES_MAX,
  encodeFrame,
  encodeJsonFrame,
  FRAME_KINDS,
  FrameDecoder,
  type StreamEvent,
} from '../../common/wire/frames.ts'
import { errorOfFailure } from '../../common/wire/operations.ts'
import { callError, type RemoteCalls } from './remote-call.ts'
import { withDeadline } from './replica-calls.ts'

/** Making a long body durable may take this much longer than an ordinary answer. */
const COMMIT_FACTOR = 4
/** Bytes on their way to the connection before the writer waits. */
const UPLOAD_BYTES = 512 * 1024

/** Opens a body at the node; resolves when the node has it open. */
export async function openRemoteBody(
  calls: RemoteCalls,
  device: string,
  item: ItemKey,
): Promise<BodyWriter> {
  const upload = new Upload()
  try {
    const response = await calls.upload('open-body', { device, item }, upload)
    return new RemoteBodyWriter(calls, upload, new StreamAnswer(response))
  } catch (error) {
    upload.destroy()
    throw error
  }
}

/** A request body that is pushed into. */
class Upload extends Readable {
  #wake: (() => void) | null = null

  constructor() {
    super({ highWaterMark: UPLOAD_BYTES })
    // The failure is reported by whoever waits for the answer.
    this.on('error', () => {})
  }

  override _read(): void {
    this.#wake?.()
    this.#wake = null
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wake?.()
    done(error)
  }

  /** Resolves when more is welcome. */
  async send(frame: Buffer): Promise<void> {
    if (this.destroyed || this.push(frame)) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }
}

class RemoteBodyWriter implements BodyWriter {
  readonly canRecommit = true
  readonly #calls: RemoteCalls
  readonly #upload: Upload
  readonly #answer: StreamAnswer
  /** Waits for the outcome of a commit. */
  #waiting: { resolve(outcome: unknown): void; reject(error: unknown): void } | null = null
  #failure: ServiceError | null = null
  #committed = false
  #ended = false

  constructor(calls: RemoteCalls, upload: Upload, answer: StreamAnswer) {
    this.#calls = calls
    this.#upload = upload
    this.#answer = answer
    void this.#listen()
  }

  /** Outcomes of commits, and a failure at any time. */
  async #listen(): Promise<void> {
    try {
      for await (const tail of this.#answer.tails()) this.#waiting?.resolve(tail)
      if (!this.#ended) throw new ServiceError('NoAnswer', 'the answer broke off', { status: 503 })
    } catch (error) {
      this.#failure = callError(error)
      this.#waiting?.reject(this.#failure)
      this.#upload.destroy()
    }
  }

  async write(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; at += DATA_BYTES_MAX) {
      if (this.#failure !== null) throw this.#failure
      // Copied: the connection may hold on to it after the caller has filled the piece anew.
      const frame = encodeFrame(FRAME_KINDS.data, piece.subarray(at, at + DATA_BYTES_MAX))
      await withDeadline(this.#upload.send(frame), this.#calls.clock, this.#calls.answerMs)
    }
    if (this.#failure !== null) throw this.#failure
  }

  async commit(write: ItemWrite): Promise<WriteOutcome> {
    if (this.#failure !== null) throw this.#failure
    this.#committed = true
    const { clock, answerMs } = this.#calls
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
    this.#upload.push(encodeJsonFrame(FRAME_KINDS.tail, write))
    try {
      const outcome = (await withDeadline(
        answered,
        clock,
        answerMs * COMMIT_FACTOR,
      )) as WriteOutcome
      if (outcome.status !== 'superseded') this.#end()
      return outcome
    } catch (error) {
      this.#ended = true
      this.#upload.destroy()
      this.#answer.destroy()
      throw callError(error)
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return
    if (this.#committed) return this.#end()
    this.#ended = true
    this.#upload.destroy(new Error('aborted'))
    this.#answer.destroy()
  }

  /** The node throws away what it has not committed. */
  #end(): void {
    this.#ended = true
    this.#upload.push(null)
  }
}

/** A blob that the node keeps open for us. */
export class RemoteBodyReader implements BodyReader {
  readonly bytes: number
  readonly #calls: RemoteCalls
  readonly #reader: string
  #closed = false

  constructor(calls: RemoteCalls, body: { readonly reader: string; readonly bytes: number }) {
    this.#calls = calls
    this.#reader = body.reader
    this.bytes = body.bytes
  }

  async *stream(start: number, end: number): AsyncIterable<Uint8Array> {
    const response = await this.#calls.download('read-body', { reader: this.#reader, start, end })
    const answer = new StreamAnswer(response)
    try {
      yield* answer.data()
    } catch (error) {
      throw callError(error)
    } finally {
      answer.destroy()
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    // A node that cannot be told closes it after a while by itself.
    await this.#calls.call('close-body', { reader: this.#reader }).catch(() => {})
  }
}

/** An answer that is a stream: a head, data, and a tail which may be a failure. */
class StreamAnswer {
  readonly #body: Dispatcher.ResponseData['body']

  constructor(response: Dispatcher.ResponseData) {
    this.#body = response.body
    this.#body.on('error', () => {})
  }

  /** The data; ends with the tail. Rejects with the failure that the head or the tail carries. */
  async *data(): AsyncGenerator<Uint8Array, void, undefined> {
    let ended = false
    for await (const event of this.#events()) {
      if (event.kind === 'data') yield event.bytes
      ended ||= event.kind === 'tail'
    }
    if (!ended) throw new ServiceError('NoAnswer', 'the answer broke off', { status: 503 })
  }

  /** The content of each tail. */
  async *tails(): AsyncGenerator<unknown, void, undefined> {
    for await (const event of this.#events()) if (event.kind === 'tail') yield event.json
  }

  async *#events(): AsyncGenerator<StreamEvent, void, undefined> {
    const decoder = new FrameDecoder()
    for await (const chunk of this.#body) {
      for (const event of decoder.push(chunk as Buffer)) {
        const failure = event.kind === 'data' ? null : errorOfFailure(event.json)
        if (failure !== null) throw failure
        yield event
      }
    }
  }

  destroy(): void {
    this.#body.destroy()
  }
}
