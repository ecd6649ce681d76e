import type { Change } from '../identity-parts.ts'
import { accessTokens, consumers, requestTokens } from '../tables/oauth1.ts'

/** Deletes an access token; the tokens got by it are void. */
export async function deleteAccessToken({ tx, revoke }: Change, id: string): Promise<void> {
  await accessTokens.delete(tx, id)
  await revoke({ accessTokenId: id })
}

/** Deletes a consumer with all that it asked for and got. */
export async function deleteConsumer(changing: Change, id: string): Promise<void> {
  await deleteOAuthTokens(changing, 'consumer', id)
  await consumers.delete(changing.tx, id)
  await changing.revoke({ consumerId: id })
}

/** Deletes what consumers asked for and got of a user, for a project, or of one consumer. */
export async function deleteOAuthTokens(
  changing: Change,
  of: 'consumer' | 'project' | 'user',
  id: string,
): Promise<void> {
  const { tx } = changing
  for (const row of await requestTokens.by(tx, of, id)) await requestTokens.delete(tx, row.id)
  for (const row of await accessTokens.by(tx, of, id)) await deleteAccessToken(changing, row.id)
}
