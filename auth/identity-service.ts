import type { Server } from 'node:http'
import { dirname, join } from 'node:path'
import type { Registry } from 'prom-client'
import type { Clock } from '../common/clock.ts'
import type { ServiceError } from '../common/errors.ts'
import type { Answer } from '../common/http/route.ts'
import { createServiceApp, type RawCall, type ServiceAnswer } from '../common/http/service-app.ts'
import { metricsRoute } from '../common/http/service-metrics.ts'
import {
  closeServer,
  createServiceServer,
  listenAt,
  type ServerBounds,
  type ServerTls,
} from '../common/http/service-server.ts'
import type { Log } from '../common/log.ts'
import type { Random } from '../common/random.ts'
import type { StateStore } from '../common/state/state-store.ts'
import { VerifiedTokens } from '../common/token/verified-tokens.ts'
import { askDirectories } from './api/directory-calls.ts'
import { type IdentityRoute, identityContext } from './api/identity-call.ts'
import { IDENTITY_ROUTES } from './api/routes.ts'
import { type AuditOptions, AuditTrail } from './audit/audit-trail.ts'
import { auditedRoutes } from './audit/audited-routes.ts'
import { Directories, type DirectoriesOptions } from './directories/directories.ts'
import { sealPlainOptions } from './directories/domain-config-rows.ts'
import { identityMetrics } from './identity-metrics.ts'
import type { IdentityParts } from './identity-parts.ts'
import { PasswordCheck } from './passwords/password-check.ts'
import { IdentityPolicy } from './policy/identity-policy.ts'
import { DomainRemovals } from './removal/domain-removal.ts'
import { resealAll } from './secrets/sealed-rows.ts'
import { SecretKeyFile } from './secrets/secret-key-file.ts'
import { completeSettings, type IdentitySettings, type IdentitySettingsChoice } from './settings.ts'
import { KeyFile } from './tokens/key-file.ts'
import { RevocationLog } from './tokens/revocation-log.ts'

export interface IdentityServiceOptions {
  readonly state: StateStore
  /** The file of the keys that sign tokens; made if it is not there. */
  readonly keyFile: string
  /** That of the keys that seal credentials; `credential-keys.json` beside the other if absent. */
  readonly credentialKeyFile?: string
  readonly settings?: IdentitySettingsChoice
  /** How users of other places are asked for. */
  readonly directories?: DirectoriesOptions
  readonly onAnswer?: (answer: ServiceAnswer) => void
  /** Who is told of each sign-in and each change; nobody if absent. */
  readonly audit?: AuditOptions
  /** Gets the service's metrics, and is shown at `/metrics`; that is 404 if absent. */
  readonly metrics?: Registry
  /** PEM texts; with them it speaks HTTPS only. */
  readonly tls?: ServerTls
  readonly bounds?: ServerBounds
}

export interface IdentityContextOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** How often events of other processes are looked for, and old ones forgotten. */
const REVOCATIONS_POLL_MS = 1000

/** How often domains are looked for whose removal was not finished. */
const REMOVALS_EVERY_MS = 60_000

/** Keystone's part: who somebody is, and what that lets them do. */
export class IdentityService {
  readonly parts: IdentityParts
  readonly #keys: KeyFile
  readonly #secrets: SecretKeyFile
  readonly #server: Server
  #cancelPoll: () => void = () => {}
  #removalsAtMs = Number.NEGATIVE_INFINITY
  #closed = false

  private constructor(
    parts: IdentityParts,
    files: { readonly keys: KeyFile; readonly secrets: SecretKeyFile },
    options: IdentityServiceOptions,
  ) {
    this.parts = parts
    this.#keys = files.keys
    this.#secrets = files.secrets
    const { metrics } = options
    const counted = metrics === undefined ? null : identityMetrics(metrics, parts)
    const app = createServiceApp({
      routes: routesOf(parts, options),
      prepare: async (call) => {
        const context = await identityContext(parts, call)
        await askDirectories(call, context)
        return context
      },
      errorAnswer: (error, call) => errorAnswer(error, call, parts.settings),
      headers: { Vary: 'X-Auth-Token' },
      onAnswer(answer) {
        counted?.count(answer)
        options.onAnswer?.(answer)
      },
      clock: parts.clock,
      random: parts.random,
      log: parts.log,
    })
    const { bounds, tls } = options
    this.#server = createServiceServer(app, bounds, tls)
    this.#schedulePoll()
  }

  static async open(
    options: IdentityServiceOptions,
    context: IdentityContextOptions,
  ): Promise<IdentityService> {
    const { state, keyFile } = options
    const { credentialKeyFile = join(dirname(keyFile), 'credential-keys.json') } = options
    const secrets = await SecretKeyFile.open(credentialKeyFile, context)
    const keys = await KeyFile.open(keyFile, context)
    const revocations = new RevocationLog(state, context)
    await revocations.refresh()
    const settings = completeSettings(options.settings)
    const parts: IdentityParts = {
      ...context,
      state,
      settings,
      policy: new IdentityPolicy(),
      revocations,
      verified: new VerifiedTokens(),
      passwords: new PasswordCheck(context.clock),
      directories: new Directories(
        {
          ...context,
          state,
          revocations,
          secrets: () => secrets.keys,
          tokenLifeMs: settings.tokenLifeSeconds * 1000,
        },
        options.directories,
      ),
      removals: new DomainRemovals({ state, revocations, clock: context.clock }),
      keys: () => keys.keys,
      secrets: () => secrets.keys,
    }
    await sealPlainOptions(parts)
    await resealAll(parts)
    return new IdentityService(parts, { keys, secrets }, options)
  }

  /** Serves there; `port` 0 takes a free one. Gives the port. Throws the error of listen. */
  listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    return listenAt(this.#server, address)
  }

  /** Ends the requests in flight; the state stays open. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cancelPoll()
    this.#keys.close()
    await this.parts.directories.close()
    await this.parts.removals.close()
    await closeServer(this.#server, (ms, action) => this.parts.clock.after(ms, action))
  }

  #schedulePoll(): void {
    if (this.#closed) return
    this.#cancelPoll = this.parts.clock.after(REVOCATIONS_POLL_MS, () => {
      void this.#poll().then(() => this.#schedulePoll())
      void this.parts.directories.watch()
      void this.#finishRemovals()
    })
  }

  async #poll(): Promise<void> {
    const { revocations, settings, clock, log } = this.parts
    try {
      if (await this.#secrets.refresh()) await this.#reseal()
      await revocations.refresh()
      // A token that is over may still be asked about.
      const judgedSeconds = settings.tokenLifeSeconds + settings.allowExpiredSeconds
      await revocations.prune(clock.nowMs() - judgedSeconds * 1000)
    } catch (error) {
      // The state may be closed meanwhile.
      if (!this.#closed) log.error('revocations unreadable', { error })
    }
  }

  /** At the start, and then now and then, should another process have failed at it. */
  async #finishRemovals(): Promise<void> {
    const { clock, log, removals } = this.parts
    if (clock.monotonicMs() < this.#removalsAtMs) return
    this.#removalsAtMs = clock.monotonicMs() + REMOVALS_EVERY_MS
    try {
      await removals.finishAll()
    } catch (error) {
      if (!this.#closed) log.error('a domain is not removed yet; tried again', { error })
    }
  }

  async #reseal(): Promise<void> {
    const { log } = this.parts
    try {
      log.info('credentials sealed anew', { rows: await resealAll(this.parts) })
    } catch (error) {
      log.error('credentials not sealed anew; tried again at the next start', { error })
    }
  }
}

/** The calls of the API, audited where that is wanted, and those beside it. */
function routesOf(
  parts: IdentityParts,
  { audit, metrics }: IdentityServiceOptions,
): readonly IdentityRoute[] {
  const api =
    audit === undefined
      ? IDENTITY_ROUTES
      : auditedRoutes(IDENTITY_ROUTES, new AuditTrail(audit, parts))
  return metrics === undefined ? api : [...api, metricsRoute(metrics)]
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'Request Entity Too Large',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
}

/** Keystone's form of an error. */
function errorAnswer(error: ServiceError, call: RawCall, settings: IdentitySettings): Answer {
  const { status, message, retryAfterSeconds } = error
  const url = settings.publicUrl ?? call.baseUrl
  return {
    status,
    headers: {
      ...(status === 401 && { 'WWW-Authenticate': `Keystone uri="${url}"` }),
      ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
    },
    body: { error: { code: status, message, title: TITLES[status] ?? 'Error' } },
  }
}
