import { UserIdentity } from '../../auth/user-identity.ts'
import { UsersFile } from '../../auth/users-file.ts'
import { ChangeMarks } from '../../common/change-marks.ts'
import type { Identity } from '../../common/identity.ts'
import { IdentityClient } from '../../common/identity-client/identity-client.ts'
import { KeystoneIdentity } from '../../proxy/keystone/keystone-identity.ts'
import { KEYSTONE_DEFAULTS, type KeystoneSettings } from '../../proxy/keystone/keystone-settings.ts'
import { RESELLER_PREFIXES, type ResellerPrefix } from '../../proxy/reseller-prefix.ts'
import { type DataPaths, readKeys } from '../data-folder.ts'
import type { UpContext } from '../up.ts'
import { servicePassword } from './service-users.ts'

/** How the object store reaches an identity service; plain data, so that it can be sent to a thread. */
export interface IdentityAccess {
  readonly url: string
  /** Where clients reach it. */
  readonly publicUrl: string
  readonly serviceUsersFile: string
  readonly roles: Partial<KeystoneSettings>
  /** PEM: the certificate that it has, whatever name stands in it. */
  readonly certificate?: string
}

export interface OpenIdentity {
  readonly identity: Identity
  /** Resolves when tokens can be judged, or after a while: then they are answered 503 until they can. */
  ready(): Promise<void>
  close(): Promise<void>
}

const OWN_USER = 'swift'
const OWN_PROJECT = 'service'
const READY_MS_MAX = 10_000
const READY_POLL_MS = 20

/** Who knows the users: an identity service, or where there is none the users file of the data folder. */
export async function openIdentity(
  of: {
    readonly access: IdentityAccess | null
    readonly paths: DataPaths
    readonly prefixes?: readonly ResellerPrefix[] | undefined
  },
  context: UpContext,
  marks: ChangeMarks = new ChangeMarks(),
): Promise<OpenIdentity> {
  const { access, paths, prefixes = RESELLER_PREFIXES } = of
  return access === null
    ? openUsersFile(paths, prefixes, context)
    : openKeystone({ ...access, prefixes }, context, marks)
}

async function openUsersFile(
  paths: DataPaths,
  resellers: readonly ResellerPrefix[],
  context: UpContext,
): Promise<OpenIdentity> {
  const tokenKeys = await readKeys(paths.tokenKey)
  const users = await UsersFile.open(paths.users, context)
  const prefixes = resellers.map(({ prefix }) => prefix)
  return {
    identity: new UserIdentity({ ...context, users: () => users.users, tokenKeys, prefixes }),
    ready: async () => {},
    close: async () => users.close(),
  }
}

async function openKeystone(
  access: IdentityAccess & { readonly prefixes: readonly ResellerPrefix[] },
  context: UpContext,
  marks: ChangeMarks,
): Promise<OpenIdentity> {
  const { url, publicUrl, serviceUsersFile, roles, certificate, prefixes } = access
  const { clock, log } = context
  const client = await IdentityClient.open({
    url,
    clock,
    log,
    credentials: async () => ({
      user: OWN_USER,
      password: await servicePassword(serviceUsersFile, OWN_USER),
      project: OWN_PROJECT,
    }),
    ...(certificate !== undefined && { http: { certificate } }),
  })
  const identity = new KeystoneIdentity({
    client,
    settings: { ...KEYSTONE_DEFAULTS, ...roles },
    prefixes,
    publicUri: publicUrl,
    keys: { session: client.session, clock, marks },
  })
  return { identity, ready: () => untilReady(client, context), close: () => client.close() }
}

async function untilReady(client: IdentityClient, { clock, log }: UpContext): Promise<void> {
  const untilMs = clock.monotonicMs() + READY_MS_MAX
  while (!client.isReady) {
    if (clock.monotonicMs() > untilMs) {
      log.warn('identity service is not there yet: tokens are answered 503')
      return
    }
    await new Promise<void>((resolve) => clock.after(READY_POLL_MS, resolve))
  }
}
