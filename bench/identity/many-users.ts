import { users } from '../../auth/tables/tables.ts'
import { hashKey, SALT_BYTES } from '../../auth/user-key.ts'
import { systemRandom as random, randomId } from '../../common/random.ts'
import { openState } from '../../common/state/open-state.ts'

/** Users of one transaction. */
const BATCH = 500

/** Puts users into a state, all with one hash: making 100,000 would take half an hour. */
export async function makeUsers(
  place: string,
  count: number,
  onDone: (done: number) => void,
): Promise<void> {
  const state = await openState(place)
  const hash = await hashKey('the password of all', random.bytes(SALT_BYTES))
  const createdAtMs = 0
  for (let done = 0; done < count; done += BATCH) {
    await state.transaction(async (tx) => {
      for (let n = done; n < Math.min(count, done + BATCH); n++) {
        await users.put(tx, {
          id: randomId(random),
          domainId: 'default',
          name: `user-${n}`,
          enabled: true,
          defaultProjectId: null,
          passwords: [{ hash, createdAtMs, expiresAtMs: null, selfService: false }],
          options: {},
          extra: { email: `user-${n}@example.org` },
          createdAtMs,
          lastActiveAtMs: null,
        })
      }
    })
    onDone(Math.min(count, done + BATCH))
  }
  await state.close()
}
