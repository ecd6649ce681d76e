import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { siblingPath } from '../sibling.ts'
import type { LoadPlan, LoadResult } from './load-plan.ts'

/** The load generator in a process of its own, so that it and the server do not share an event loop. */
export class LoadProcess {
  readonly #child: ChildProcess
  #settle: ((answer: Answer) => void) | null = null

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (answer) => this.#finish(answer as Answer))
    child.on('exit', () => this.#finish({ error: 'the load generator died' }))
  }

  static async start(): Promise<LoadProcess> {
    const child = fork(siblingPath(import.meta.url, './generator'))
    await once(child, 'message')
    return new LoadProcess(child)
  }

  /** Runs one plan; throws if a connection fails or the process dies. */
  async run(plan: LoadPlan): Promise<LoadResult> {
    const answer = await new Promise<Answer>((resolve) => {
      this.#settle = resolve
      this.#child.send(plan)
    })
    if (answer.result === undefined) throw new Error(`load on ${plan.pathPrefix}: ${answer.error}`)
    return answer.result
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.disconnect()
    await gone
  }

  #finish(answer: Answer): void {
    this.#settle?.(answer)
    this.#settle = null
  }
}

interface Answer {
  readonly result?: LoadResult
  readonly error?: string
}
