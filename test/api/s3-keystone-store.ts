/** A store whose users, and clients of S3, are those of a real identity service. */
import type { TAP } from 'tap'
import type { IdentitySettingsChoice } from '../../auth/settings.ts'
import { systemClock } from '../../common/clock.ts'
import { IdentityClient } from '../../common/identity-client/identity-client.ts'
import { silentLog } from '../../common/log.ts'
import { KeystoneIdentity } from '../../proxy/keystone/keystone-identity.ts'
import { KEYSTONE_DEFAULTS } from '../../proxy/keystone/keystone-settings.ts'
import { PROXY_DEFAULTS } from '../../proxy/proxy-options.ts'
import { IdentityRig, SERVICE_PASSWORD } from '../support/identity-rig.ts'
import { openTestStore, type TestStore } from './swift-store.ts'

export interface KeystoneStore {
  readonly rig: IdentityRig
  readonly client: IdentityClient
  readonly store: TestStore
}

const HOUR_MS = 3_600_000

export interface KeystoneStoreOptions {
  /** What was read of a key stays read until it is known to have changed; otherwise each request asks anew. */
  readonly remembersKeys?: boolean
}

/** Opens both; they are closed when the file's tests are over. */
export async function openKeystoneStore(
  t: Pick<TAP, 'testdir' | 'teardown'>,
  settings: IdentitySettingsChoice = {},
  { remembersKeys = false }: KeystoneStoreOptions = {},
): Promise<KeystoneStore> {
  const rig = await IdentityRig.start({ settings })
  const client = await IdentityClient.open({
    url: rig.url,
    credentials: async () => ({ user: 'swift', password: SERVICE_PASSWORD, project: 'service' }),
    clock: systemClock,
    log: silentLog,
    pollMs: 50,
  })
  let hours = 1
  const identity = new KeystoneIdentity({
    client,
    settings: KEYSTONE_DEFAULTS,
    prefixes: PROXY_DEFAULTS.resellerPrefixes,
    publicUri: rig.url,
    // Each look at the memory of keys is another hour, or all are at the same moment.
    keys: {
      session: client.session,
      clock: {
        monotonicMs: () => (remembersKeys ? 0 : hours++ * HOUR_MS),
        nowMs: () => Date.now(),
      },
    },
  })
  const store = await openTestStore(t.testdir(), {
    identity,
    versionsSettle: false,
    s3: { domains: ['s3.localhost'] },
  })
  t.teardown(async () => {
    await store.close()
    await client.close()
    await rig.close()
  })
  return { rig, client, store }
}
