/** The swift client (python3-swiftclient), many commands in one process. */
import type { Test } from 'tap'
import { PythonShell } from './python-shell.ts'

/** Runs commands of the swift client one after the other; they are assertions of the test that runs them. */
export class SwiftShell {
  readonly close: () => Promise<void>
  readonly #run: PythonShell['run']

  /** `env`: where to sign in, and as whom (`ST_…`); `cwd`: where files are. */
  constructor(env: Readonly<Record<string, string>>, cwd: string) {
    const shell = new PythonShell('swift-shell.py', { env, cwd })
    this.#run = shell.run
    this.close = shell.close
  }

  /** Runs a command that has to succeed; gives what it prints. Throws what it said if it does not. */
  async ok(t: Test, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run(args)
    if (code !== 0) throw new Error(`swift ${args.join(' ')}: ${code}\n${stderr}${stdout}`)
    t.pass(args.join(' '))
    return stdout
  }

  /** Runs a command that has to fail with such words. */
  async fails(t: Test, words: RegExp, ...args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await this.#run(args)
    t.not(code, 0, `${args.join(' ')} fails`)
    t.match(`${stderr}${stdout}`, words)
  }
}
