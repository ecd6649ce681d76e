/** The identity service alone, for the benchmark: `serve FOLDER PASSWORD`; tells its port by an IPC message. */
import { join } from 'node:path'
import { bootstrap } from '../../auth/bootstrap.ts'
import { IdentityService } from '../../auth/identity-service.ts'
import { systemClock as clock } from '../../common/clock.ts'
import { silentLog as log } from '../../common/log.ts'
import { systemRandom as random } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'

const [folder, adminPassword] = process.argv.slice(2)
const state = await openState(join(folder!, 'state'))
const keyFile = join(folder!, 'keys.json')
const service = await IdentityService.open({ state, keyFile }, { clock, random, log })
const port = await service.listen({ host: '127.0.0.1', port: 0 })
const services = [{ type: 'identity', name: 'keystone', url: `http://127.0.0.1:${port}/v3` }]
await bootstrap(
  state,
  { adminPassword: adminPassword!, regionId: 'RegionOne', services, serviceUsers: [] },
  { random, nowMs: clock.nowMs() },
)
process.send!(port)
process.once('disconnect', async () => {
  await service.close()
  await state.close()
})
