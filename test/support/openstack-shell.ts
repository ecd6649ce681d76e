/** The openstack client (python3-openstackclient), many commands in one process. */
import type { Test } from 'tap'
import { PythonShell, type ShellResult } from './python-shell.ts'

export type OpenstackResult = ShellResult

/** The arguments after `openstack`. */
export type OpenstackArguments = readonly string[]

/** Runs commands of the openstack client one after the other. */
export class OpenstackShell extends PythonShell {
  /** `env`: the cloud and the user (`OS_…`). */
  constructor(env: Readonly<Record<string, string>>) {
    super('openstack-shell.py', { env })
  }

  /** The client for a test, whose assertions its commands are; `options` come before each command. */
  on(t: Test, ...options: OpenstackArguments): OpenstackClient {
    return new OpenstackClient(t, (args) => this.run([...options, ...args]))
  }
}

/** The openstack client of one test. */
export class OpenstackClient {
  readonly #t: Test
  readonly #run: (args: OpenstackArguments) => Promise<OpenstackResult>

  constructor(t: Test, run: (args: OpenstackArguments) => Promise<OpenstackResult>) {
    this.#t = t
    this.#run = run
  }

  /** Runs a command that has to succeed; throws what it said if it does not. */
  async ok(...args: OpenstackArguments): Promise<string> {
    const { code, stdout, stderr } = await this.#run(args)
    if (code !== 0) throw new Error(`openstack ${args.join(' ')}: ${code}\n${stderr}${stdout}`)
    this.#t.pass(args.join(' '))
    return stdout
  }

  /** What a command that has to succeed prints with `-f json`. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every form.
  async json(...args: OpenstackArguments): Promise<any> {
    const text = await this.ok(...args, '-f', 'json')
    return text.trim() === '' ? [] : JSON.parse(text)
  }

  /** One column of a list. */
  async column(name: string, ...args: OpenstackArguments): Promise<readonly unknown[]> {
    const rows = (await this.json(...args)) as readonly Readonly<Record<string, unknown>>[]
    return rows.map((row) => row[name])
  }

  /** Runs a command that has to fail with such a message. */
  async fails(message: RegExp, ...args: OpenstackArguments): Promise<void> {
    const { code, stdout, stderr } = await this.#run(args)
    this.#t.not(code, 0, `${args.join(' ')} fails`)
    this.#t.match(`${stderr}${stdout}`, message)
  }
}
