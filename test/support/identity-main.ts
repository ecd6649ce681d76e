/**
 * The identity service as a process of its own, for tests with real clients and for kills: `identity-main.ts FOLDER PORT`
 * (0: a free one). State, keys and the administrator's password stay in the folder, so that it can be started again.
 * Says `identity is ready URL` once it serves; ends at SIGTERM.
 */
import { join } from 'node:path'
import { bootstrap } from '../../auth/bootstrap.ts'
import { IdentityService } from '../../auth/identity-service.ts'
import type { IdentitySettingsChoice } from '../../auth/settings.ts'
import { systemClock as clock } from '../../common/clock.ts'
import { createLog } from '../../common/log.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'
import { ADMIN_PASSWORD, SERVICE_PASSWORD } from './identity-rig.ts'

const [folder, port] = process.argv.slice(2)
const settings = JSON.parse(process.env.IDENTITY_SETTINGS ?? '{}') as IdentitySettingsChoice
const log = createLog({
  write: (lines) => process.stderr.write(lines),
  nowMs: () => clock.nowMs(),
  component: 'identity',
})
const state = await openState(process.env.IDENTITY_STATE ?? join(folder!, 'state'))
const service = await IdentityService.open(
  { state, keyFile: join(folder!, 'keys.json'), settings },
  { clock, random, log },
)
const bound = await service.listen({ host: '127.0.0.1', port: Number(port) })
const url = `http://127.0.0.1:${bound}`
await bootstrap(
  state,
  {
    adminPassword: ADMIN_PASSWORD,
    regionId: 'RegionOne',
    services: [
      { type: 'identity', name: 'keystone', url: `${url}/v3` },
      ...(process.env.IDENTITY_STORE === undefined
        ? []
        : [
            {
              type: 'object-store',
              name: 'swift',
              url: `${process.env.IDENTITY_STORE}/v1/AUTH_$(project_id)s`,
            },
          ]),
    ],
    serviceUsers: [{ name: 'swift', password: SERVICE_PASSWORD }],
  },
  { random, nowMs: clock.nowMs() },
)
process.stdout.write(`identity is ready ${url}\n`)
process.once('SIGTERM', async () => {
  await service.close()
  await state.close()
  log.flush()
})
