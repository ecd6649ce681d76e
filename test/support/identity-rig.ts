import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Registry } from 'prom-client'
import type { AuditOptions } from '../../auth/audit/audit-trail.ts'
import { bootstrap } from '../../auth/bootstrap.ts'
import type { DirectoriesOptions } from '../../auth/directories/directories.ts'
import { IdentityService } from '../../auth/identity-service.ts'
import type { IdentitySettingsChoice } from '../../auth/settings.ts'
import { type Clock, systemClock } from '../../common/clock.ts'
import { type Log, silentLog } from '../../common/log.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'
import type { StateStore } from '../../common/state/state-store.ts'
import { newSchema } from './postgres-server.ts'

export const ADMIN_PASSWORD = 'the admin password'
export const SERVICE_PASSWORD = 'the service password'

export interface IdentityRigOptions {
  readonly settings?: IdentitySettingsChoice
  readonly clock?: Clock
  readonly openState?: (place: string) => Promise<StateStore>
  readonly directories?: DirectoriesOptions
  readonly audit?: AuditOptions
  readonly log?: Log
  readonly metrics?: Registry
}

export interface ApiAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every form.
  readonly body: any
}

/** An identity service on a free port with a state of its own, and what tests ask it. */
export class IdentityRig {
  readonly service: IdentityService
  readonly url: string
  /** Where its keys are. */
  readonly folder: string
  readonly #close: () => Promise<void>
  #adminToken = ''

  private constructor(
    service: IdentityService,
    places: { readonly url: string; readonly folder: string },
    close: () => Promise<void>,
  ) {
    this.service = service
    this.url = places.url
    this.folder = places.folder
    this.#close = close
  }

  static async start(options: IdentityRigOptions = {}): Promise<IdentityRig> {
    const { clock = systemClock, settings, directories, audit, metrics } = options
    const { log = silentLog } = options
    const folder = await mkdtemp(join(tmpdir(), 'identity-'))
    const place = await statePlace(join(folder, 'state'))
    const state = await (options.openState ?? openRigState)(place)
    const service = await IdentityService.open(
      {
        state,
        keyFile: join(folder, 'keys.json'),
        ...(settings !== undefined && { settings }),
        ...(directories !== undefined && { directories }),
        ...(audit !== undefined && { audit }),
        ...(metrics !== undefined && { metrics }),
      },
      { clock, random, log },
    )
    const port = await service.listen({ host: '127.0.0.1', port: 0 })
    const url = `http://127.0.0.1:${port}`
    await bootstrap(
      state,
      {
        adminPassword: ADMIN_PASSWORD,
        regionId: 'RegionOne',
        services: [
          { type: 'identity', name: 'keystone', url: `${url}/v3` },
          {
            type: 'object-store',
            name: 'swift',
            url: 'http://127.0.0.1:8080/v1/AUTH_$(project_id)s',
          },
        ],
        serviceUsers: [{ name: 'swift', password: SERVICE_PASSWORD }],
      },
      { random, nowMs: clock.nowMs() },
    )
    const rig = new IdentityRig(service, { url, folder }, async () => {
      await service.close()
      await state.close()
      await rm(folder, { recursive: true })
    })
    rig.#adminToken = await rig.token({ project: { name: 'admin', domain: { id: 'default' } } })
    return rig
  }

  close(): Promise<void> {
    return this.#close()
  }

  /** A call with a token: the administrator's if none is given, none at all if it is null. */
  async call(
    method: string,
    path: string,
    { body, token = this.#adminToken, headers = {} }: CallOptions = {},
  ): Promise<ApiAnswer> {
    const response = await fetch(this.url + path, {
      method,
      redirect: 'manual',
      headers: {
        ...(token !== null && { 'X-Auth-Token': token }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? null : JSON.parse(text),
    }
  }

  /** Signs in with a password; the administrator if no user is given. */
  signIn(
    scope?: unknown,
    user: Readonly<Record<string, unknown>> = {
      name: 'admin',
      domain: { id: 'default' },
      password: ADMIN_PASSWORD,
    },
  ): Promise<ApiAnswer> {
    const identity = { methods: ['password'], password: { user } }
    return this.call('POST', '/v3/auth/tokens', {
      body: { auth: { identity, scope } },
      token: null,
    })
  }

  /** A token got with a password. Throws unless it is a 201. */
  async token(scope?: unknown, user?: Readonly<Record<string, unknown>>): Promise<string> {
    const answer = await this.signIn(scope, user)
    const token = answer.headers.get('x-subject-token')
    if (answer.status !== 201 || token === null) {
      throw new Error(`sign-in answered ${answer.status} ${JSON.stringify(answer.body)}`)
    }
    return token
  }
}

/** With `SWIFTLET_TEST_POSTGRES` a schema of the rig's own there: `identity-postgres.test.ts` runs all tests so. */
function statePlace(folder: string): Promise<string> | string {
  const server = process.env.SWIFTLET_TEST_POSTGRES ?? ''
  return server === '' ? folder : newSchema(server)
}

function openRigState(place: string): Promise<StateStore> {
  return openState(place, { service: 'identity' })
}

export interface CallOptions {
  /** JSON, or a text that is sent as it is. */
  readonly body?: unknown
  readonly token?: string | null
  readonly headers?: Readonly<Record<string, string>>
}
