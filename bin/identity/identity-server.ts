import { rename } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditOptions } from '../../auth/audit/audit-trail.ts'
import { bootstrap } from '../../auth/bootstrap.ts'
import { IdentityService } from '../../auth/identity-service.ts'
import { takeOverUsers } from '../../auth/store-users/take-over.ts'
import { RESELLER_PREFIX } from '../../auth/user.ts'
import { randomKey } from '../../auth/user-edit.ts'
import { readUsers } from '../../auth/users-file.ts'
import { ServiceError } from '../../common/errors.ts'
import type { ServiceAnswer } from '../../common/http/service-app.ts'
import { METRICS_PATH } from '../../common/http/service-metrics.ts'
import { createMetrics } from '../../common/metrics.ts'
import { randomId } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'
import type { StateStore } from '../../common/state/state-store.ts'
import { REVOCATIONS_PATH } from '../../common/token/revocation.ts'
import { TOKEN_KEYS_PATH } from '../../common/token/token-keys.ts'
import { readTextFile } from '../../common/whole-file.ts'
import { type Credentials, FIRST_USER, parseCredentials, saveCredentials } from '../credentials.ts'
import { makeFolder } from '../folders.ts'
import { explainListenError } from '../ports.ts'
import { readTls } from '../tls.ts'
import type { UpContext } from '../up.ts'
import { type IdentityConfig, identityPaths } from './identity-config.ts'
import { ensureServiceUsers } from './service-users.ts'

export interface RunningIdentity {
  readonly port: number
  close(): Promise<void>
}

/** A state that a process which is just ending still has is waited for. */
const STATE_TRIES = 200
const STATE_TRY_MS = 50

/** The identity service of a folder: made ready for use at its first start, then serving. */
export async function startIdentity(
  config: IdentityConfig,
  context: UpContext,
  audit?: { readonly options: AuditOptions },
): Promise<RunningIdentity> {
  const { host, port, folder, settings } = config
  const { log } = context
  const tls = readTls(config)
  makeFolder(folder)
  const state = await openWaiting(config.state, context)
  try {
    await prepare(state, config, context)
    const service = await IdentityService.open(
      {
        state,
        keyFile: identityPaths(folder).tokenKeys,
        credentialKeyFile: identityPaths(folder).credentialKeys,
        settings,
        metrics: createMetrics(),
        ...(tls !== undefined && { tls }),
        ...(audit !== undefined && { audit: audit.options }),
        onAnswer: (answer) => {
          if (!isPoll(answer)) log.info('request', { ...answer })
        },
      },
      context,
    )
    try {
      const bound = await service.listen({ host, port }).catch((error: unknown) => {
        throw explainListenError(error, { host, port })
      })
      return {
        port: bound,
        async close() {
          await service.close()
          await state.close()
        },
      }
    } catch (error) {
      await service.close()
      throw error
    }
  } catch (error) {
    await state.close()
    throw error
  }
}

/** What every service asks every other second would fill the log. */
function isPoll({ route, status }: ServiceAnswer): boolean {
  return status < 400 && [TOKEN_KEYS_PATH, REVOCATIONS_PATH, METRICS_PATH].includes(route)
}

async function prepare(
  state: StateStore,
  config: IdentityConfig,
  { random, clock, log }: UpContext,
): Promise<void> {
  const credentials = await ensureCredentials(config.credentialsFile, { random })
  const nowMs = clock.nowMs()
  await bootstrap(
    state,
    {
      adminPassword: credentials.password,
      setAdminPassword: config.setAdminPassword,
      adminProjectId: credentials.account.slice(RESELLER_PREFIX.length),
      regionId: config.region,
      services: config.catalog,
      serviceUsers: await ensureServiceUsers(identityPaths(config.folder).serviceUsers, random),
    },
    { random, nowMs },
  )
  const { usersFile } = config
  if (usersFile === undefined || (await readTextFile(usersFile)) === null) return
  const users = await readUsers(usersFile)
  const taken = await takeOverUsers(state, users, { random, nowMs, except: FIRST_USER })
  await rename(usersFile, `${usersFile}.taken`)
  for (const change of taken.changes) log.warn('users file taken over', { change })
  log.info('users file taken over', { users: taken.names.length })
}

async function ensureCredentials(
  path: string,
  { random }: Pick<UpContext, 'random'>,
): Promise<Credentials> {
  const text = await readTextFile(path)
  if (text !== null) return parseCredentials(text, path)
  const account = RESELLER_PREFIX + randomId(random)
  const credentials = { user: FIRST_USER, password: randomKey(random), account }
  await saveCredentials(path, credentials)
  return credentials
}

async function openWaiting(place: string, { clock }: UpContext): Promise<StateStore> {
  for (let tries = 1; ; tries++) {
    try {
      return await openState(place, { service: 'identity', clock })
    } catch (error) {
      const isInUse = error instanceof ServiceError && error.code === 'StateInUse'
      if (!isInUse || tries === STATE_TRIES) throw error
      await sleep(STATE_TRY_MS)
    }
  }
}
