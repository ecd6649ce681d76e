import { Table } from '../../common/state/table.ts'
import { sealedBy } from '../secrets/secret-keys.ts'
import type { Extra } from './rows.ts'

/** A program that asks users to let it act for them. */
export interface ConsumerRow {
  readonly id: string
  /** Sealed: signatures are made with it. */
  readonly sealedSecret: string
  readonly description: string | null
  readonly extra: Extra
}

/** What a consumer asks for, until the user has agreed and it is exchanged. */
export interface RequestTokenRow {
  readonly id: string
  readonly sealedSecret: string
  readonly consumerId: string
  readonly projectId: string
  /** In UTC with microseconds and `Z`. */
  readonly expiresAt: string
  /** Null until somebody has agreed. */
  readonly authorized: {
    readonly userId: string
    readonly roleIds: readonly string[]
    readonly verifier: string
  } | null
}

/** What a consumer got: to act with roles of the user on a project. */
export interface AccessTokenRow {
  readonly id: string
  readonly sealedSecret: string
  readonly consumerId: string
  readonly projectId: string
  readonly userId: string
  readonly roleIds: readonly string[]
  readonly expiresAt: string | null
}

/** A signed request that was taken: not again. */
export interface UsedNonceRow {
  readonly timestamp: number
  readonly consumerId: string
  readonly tokenId: string
  readonly nonce: string
}

const byKey = { of: ({ sealedSecret }: { sealedSecret: string }) => [[sealedBy(sealedSecret)]] }

export const consumers = new Table<ConsumerRow, 'key'>({
  name: 'oauth1-consumers',
  keyOf: ({ id }) => [id],
  indexes: { key: byKey },
})

export const requestTokens = new Table<RequestTokenRow, 'consumer' | 'project' | 'user' | 'key'>({
  name: 'oauth1-request-tokens',
  keyOf: ({ id }) => [id],
  indexes: {
    consumer: { of: ({ consumerId }) => [[consumerId]] },
    project: { of: ({ projectId }) => [[projectId]] },
    user: { of: ({ authorized }) => (authorized === null ? [] : [[authorized.userId]]) },
    key: byKey,
  },
})

export const accessTokens = new Table<AccessTokenRow, 'consumer' | 'project' | 'user' | 'key'>({
  name: 'oauth1-access-tokens',
  keyOf: ({ id }) => [id],
  indexes: {
    consumer: { of: ({ consumerId }) => [[consumerId]] },
    project: { of: ({ projectId }) => [[projectId]] },
    user: { of: ({ userId }) => [[userId]] },
    key: byKey,
  },
})

/** In the order of their times. */
export const usedNonces = new Table<UsedNonceRow>({
  name: 'oauth1-nonces',
  keyOf: ({ timestamp, consumerId, tokenId, nonce }) => [
    String(timestamp).padStart(12, '0'),
    consumerId,
    tokenId,
    nonce,
  ],
  indexes: {},
})
