/** A command line client that is written in Python, many commands in one process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Debian's, which has Debian's clients. */
const PYTHON = '/usr/bin/python3'
/** Variables that name a cloud. */
const OF_A_CLOUD = /^(OS|ST)_/

export interface ShellResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs commands one after the other. */
export class PythonShell {
  readonly run: (args: readonly string[]) => Promise<ShellResult>
  readonly close: () => Promise<void>

  /** `script`: a file beside this one that takes a list of arguments a line. `env`: the cloud and the user. */
  constructor(
    script: string,
    options: { readonly env: Readonly<Record<string, string>>; readonly cwd?: string },
  ) {
    const { env, cwd } = options
    const path = fileURLToPath(new URL(script, import.meta.url))
    const child = spawn(PYTHON, ['-W', 'ignore', path], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...withoutCloud(process.env), ...env },
      ...(cwd === undefined ? {} : { cwd }),
    })
    const exited = once(child, 'exit')
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.run = async (args) => {
      child.stdin.write(`${JSON.stringify(args)}\n`)
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`the client ended at: ${args.join(' ')}`)
      return JSON.parse(value) as ShellResult
    }
    this.close = async () => {
      child.stdin.end()
      await exited
    }
  }
}

/** The variables but those that name a cloud. */
function withoutCloud(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !OF_A_CLOUD.test(name)))
}
