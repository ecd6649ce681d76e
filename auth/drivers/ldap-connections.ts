import type { ConnectionOptions } from 'node:tls'
import { Client, type ClientOptions, ResultCodeError } from 'ldapts'
import { ServiceError } from '../../common/errors.ts'
import { directoryUnavailable } from './identity-driver.ts'
import type { LdapSettings } from './ldap-settings.ts'
import { Turns } from './turns.ts'

export interface LdapTimeouts {
  readonly connectMsMax: number
  /** Longest answer to one search or bind. */
  readonly answerMsMax: number
}

/** Passwords that are checked at once, and those that wait for it. */
const CHECKS = { runningMax: 10, waitingMax: 256 }

/** What a server says that has too much to do: busy, unavailable. */
const OVERLOADED = [51, 52]

/** The connections to a directory: one for all searches, and one for each password that is being checked. */
export class LdapConnections {
  readonly #settings: LdapSettings
  readonly #timeouts: LdapTimeouts
  readonly #ca: Buffer | null
  readonly #checks = new Turns(CHECKS)
  #searcher: Promise<Client> | null = null
  #closed = false

  constructor(settings: LdapSettings, ca: Buffer | null, timeouts: LdapTimeouts) {
    this.#settings = settings
    this.#ca = ca
    this.#timeouts = timeouts
  }

  /** Runs a search, once more on a new connection if the one there was has broken. Throws 503. */
  async search<T>(run: (client: Client) => Promise<T>): Promise<T> {
    if (this.#closed) throw directoryUnavailable('the directory is closed')
    const before = this.#searcher
    const client = await this.#connected()
    try {
      return await run(client)
    } catch (error) {
      if (error instanceof ResultCodeError) throw error
      this.#forget(client)
      if (before === null) throw unreachable(error)
    }
    try {
      return await run(await this.#connected())
    } catch (error) {
      throw error instanceof ResultCodeError ? error : unreachable(error)
    }
  }

  /** Whether the directory takes the password. */
  async check(dn: string, password: string): Promise<boolean> {
    // An empty password binds as nobody, and succeeds.
    if (dn === '' || password === '') return false
    return this.#checks.run(async () => {
      try {
        const client = await this.#open((one) => one.bind(dn, password))
        await quietly(client.unbind())
        return true
      } catch (error) {
        if (!(error instanceof ResultCodeError)) throw error
        if (OVERLOADED.includes(error.code)) throw unreachable(error)
        // Wrong, locked, expired: each has its own code.
        return false
      }
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    const searcher = this.#searcher
    this.#searcher = null
    if (searcher !== null) await quietly(searcher.then((client) => client.unbind()))
  }

  /** The connection for searches. One that was closed is not opened again by itself: it would be nobody's. */
  async #connected(): Promise<Client> {
    const client = await this.#searcher?.catch(() => null)
    if (client?.isConnected) return client
    if (client) this.#forget(client)
    this.#searcher ??= this.#openSearcher()
    try {
      return await this.#searcher
    } catch (error) {
      this.#searcher = null
      throw error
    }
  }

  #forget(client: Client): void {
    const searcher = this.#searcher
    if (searcher === null) return
    void searcher.then(
      (current) => {
        if (current === client && this.#searcher === searcher) this.#searcher = null
      },
      () => {},
    )
    this.#searcher = null
    void quietly(client.unbind())
  }

  async #openSearcher(): Promise<Client> {
    const { user, password } = this.#settings
    try {
      return await this.#open(async (client) => {
        await client.bind(user, user === '' ? '' : password)
      })
    } catch (error) {
      if (!(error instanceof ResultCodeError)) throw error
      throw directoryUnavailable(`the directory refuses ${user || 'anonymous searches'}`, error)
    }
  }

  /** The first of the URLs that answers. */
  async #open(prepare: (client: Client) => Promise<void>): Promise<Client> {
    const failures: unknown[] = []
    for (const url of this.#settings.urls) {
      const client = new Client(this.#options(url))
      try {
        if (this.#settings.startTls) await startTls(client, this.#tls(url))
        await prepare(client)
        return client
      } catch (error) {
        await quietly(client.unbind())
        if (error instanceof ResultCodeError) throw error
        failures.push(error)
      }
    }
    throw unreachable(failures[0])
  }

  #options(url: string): ClientOptions {
    return {
      url,
      timeout: this.#timeouts.answerMsMax,
      connectTimeout: this.#timeouts.connectMsMax,
      strictDN: false,
      ...(url.startsWith('ldaps:') && { tlsOptions: this.#tls(url) }),
    }
  }

  #tls(url: string): ConnectionOptions {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '')
    return {
      host,
      // Server names are no addresses.
      ...(!/^[\d.]+$|:/.test(host) && { servername: host }),
      rejectUnauthorized: this.#settings.verifiesServer,
      ...(this.#ca !== null && { ca: this.#ca }),
    }
  }
}

async function startTls(client: Client, options: ConnectionOptions): Promise<void> {
  try {
    await client.startTLS(options)
  } catch (error) {
    throw directoryUnavailable(`no TLS with the directory: ${(error as Error).message}`, error)
  }
}

function unreachable(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error
  return directoryUnavailable(
    `the directory cannot be reached: ${(error as Error)?.message}`,
    error,
  )
}

async function quietly(ending: Promise<unknown>): Promise<void> {
  await ending.catch(() => {})
}
