import {
  checkDevice,
  freePort,
  type StoreCredentials,
  type StoreProcess,
  startStore,
  storeCredentials,
} from '../../../bench/store-process.ts'
import { StoreClient } from './store-client.ts'

export interface StoreUnderTestOptions {
  readonly dataFolder: string
  readonly disks?: readonly string[]
  readonly extraArguments?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Connections of the client. Default 32. */
  readonly connections?: number
}

/** A real Swiftlet that is killed and started again on the same folders, and a signed-in client for each life. */
export class StoreUnderTest {
  readonly #options: StoreUnderTestOptions
  #port = 0
  #process: StoreProcess | null = null
  #client: StoreClient | null = null
  #credentials: StoreCredentials | null = null

  constructor(options: StoreUnderTestOptions) {
    this.#options = options
  }

  get process(): StoreProcess {
    if (!this.#process) throw new Error('the store is not running')
    return this.#process
  }

  get client(): StoreClient {
    if (!this.#client) throw new Error('the store is not running')
    return this.#client
  }

  /** Starts it and signs in. */
  async start(options: { readonly env?: Readonly<Record<string, string>> } = {}): Promise<void> {
    const { dataFolder, disks, extraArguments, connections } = this.#options
    this.#port ||= await freePort()
    this.#process = await startStore({
      dataFolder,
      port: this.#port,
      env: { ...this.#options.env, ...options.env },
      ...(disks && { disks }),
      ...(extraArguments && { extraArguments }),
    })
    this.#credentials ??= await storeCredentials(dataFolder)
    this.#client = new StoreClient(this.#process.origin, { connections: connections ?? 32 })
    await this.#client.signIn(this.#credentials)
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#process?.kill()
    await this.#letGo()
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | null> {
    const code = await this.process.stop()
    await this.#letGo()
    return code
  }

  async #letGo(): Promise<void> {
    await this.#client?.close()
    this.#client = null
    this.#process = null
  }
}

/** Problems that `swiftlet check` finds on the stopped devices, as text; empty if none. */
export async function checkProblems(folders: readonly string[]): Promise<string> {
  const problems: string[] = []
  for (const folder of folders) {
    const { code, text } = await checkDevice(folder)
    if (code !== 0) problems.push(`${folder}: exit ${code}\n${text}`)
  }
  return problems.join('\n')
}
