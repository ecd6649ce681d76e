import { spawn } from 'node:child_process'
import { systemErrorCode } from '../../common/errors.ts'
import { directoryUnavailable } from './identity-driver.ts'
import { Turns } from './turns.ts'

export interface HelperResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface PamHelperOptions {
  /** Variables of the helpers' environment. */
  readonly env?: Readonly<Record<string, string>>
  /** A helper that takes longer is ended; wrong passwords are answered late on purpose, by some seconds. */
  readonly msMax?: number
}

const DEFAULTS = { env: {}, msMax: 15_000 } satisfies Required<PamHelperOptions>
const RUNS = { runningMax: 8, waitingMax: 128 }
/** All accounts of a large machine. */
const OUTPUT_CHARS_MAX = 8 * 1024 * 1024

/** Runs the system's programs that ask its accounts. */
export class PamHelper {
  readonly #options: Required<PamHelperOptions>
  readonly #turns = new Turns(RUNS)

  constructor(options: PamHelperOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** `input` goes to its standard input. Throws 503 if it is not there, takes too long or was ended by a signal. */
  run(command: string, args: readonly string[], input = ''): Promise<HelperResult> {
    return this.#turns.run(() => this.#run(command, args, input))
  }

  #run(command: string, args: readonly string[], input: string): Promise<HelperResult> {
    const { env, msMax } = this.#options
    const child = spawn(command, args, {
      env: { PATH: process.env.PATH, LC_ALL: 'C', ...env },
    })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] += text
        if (output[name].length > OUTPUT_CHARS_MAX) child.kill('SIGKILL')
      })
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), msMax)
    // One that ends without reading has said what it has to say.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    return new Promise((resolve, reject) => {
      child.once('error', (error) => {
        clearTimeout(timer)
        const why = systemErrorCode(error) === 'ENOENT' ? 'is not installed' : 'does not start'
        reject(directoryUnavailable(`${command} ${why}`, error))
      })
      child.once('close', (code, signal) => {
        clearTimeout(timer)
        if (code === null) reject(directoryUnavailable(`${command} was ended by ${signal}`))
        else resolve({ code, ...output })
      })
    })
  }
}
