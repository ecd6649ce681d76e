import { Table } from '../../common/state/table.ts'
import { sealedBy } from '../secrets/secret-keys.ts'
import type { Extra } from './rows.ts'

/** A secret that somebody keeps here: an access key of EC2 and S3, the seed of one-time codes, a certificate. */
export interface CredentialRow {
  readonly id: string
  readonly type: string
  readonly userId: string
  readonly projectId: string | null
  /** Its blob, sealed (`secrets/sealed-rows.ts`). */
  readonly sealedSecret: string
  /** Of an access key: its SHA-256 in hex. */
  readonly accessHash: string | null
  readonly extra: Extra
}

export const EC2_TYPE = 'ec2'
export const TOTP_TYPE = 'totp'
/** In `extra` of an access key that was switched off: it signs nothing. */
export const INACTIVE = 'inactive'

export const credentials = new Table<CredentialRow, 'user' | 'project' | 'access' | 'key'>({
  name: 'credentials',
  keyOf: ({ id }) => [id],
  indexes: {
    user: { of: ({ userId, type }) => [[userId, type]] },
    project: { of: ({ projectId }) => (projectId === null ? [] : [[projectId]]) },
    access: { of: ({ accessHash }) => (accessHash === null ? [] : [[accessHash]]), unique: true },
    key: { of: ({ sealedSecret }) => [[sealedBy(sealedSecret)]] },
  },
})

/** The time step of the last one-time code that was taken: none of it or before is taken again. */
export interface UsedCodeRow {
  readonly credentialId: string
  readonly step: number
}

export const usedCodes = new Table<UsedCodeRow>({
  name: 'used-codes',
  keyOf: ({ credentialId }) => [credentialId],
  indexes: {},
})
