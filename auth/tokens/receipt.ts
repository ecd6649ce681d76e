import { CompactSign, compactVerify } from 'jose'
import { ServiceError } from '../../common/errors.ts'
import { keyIdOf } from '../../common/token/signed-token.ts'
import { TOKEN_ALGORITHM } from '../../common/token/token-keys.ts'
import { unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { ProjectRow, UserRow } from '../tables/rows.ts'

/** What somebody has proven who has to prove more: brought along with the rest, it counts. */
export interface Receipt {
  readonly userId: string
  readonly methods: readonly string[]
  readonly issuedAtMs: number
  readonly expiresAtMs: number
}

/** 401, with a receipt for what was proven and the sets of methods of which one has to be. */
export class MoreProofsNeeded extends ServiceError {
  readonly text: string
  readonly receipt: Receipt
  readonly user: UserRow
  readonly userDomain: ProjectRow
  readonly requiredMethods: readonly (readonly string[])[]

  constructor(options: {
    readonly text: string
    readonly receipt: Receipt
    readonly user: UserRow
    readonly userDomain: ProjectRow
    readonly requiredMethods: readonly (readonly string[])[]
  }) {
    super('MoreProofsNeeded', 'Additional authentications steps required.', { status: 401 })
    this.text = options.text
    this.receipt = options.receipt
    this.user = options.user
    this.userDomain = options.userDomain
    this.requiredMethods = options.requiredMethods
  }
}

/** Says in the payload that it is no token. */
const KIND = 'receipt'

/** A signed receipt: what tokens are signed with, but never taken for one. */
export async function signReceipt(parts: IdentityParts, receipt: Receipt): Promise<string> {
  const { signing } = parts.keys()
  return new CompactSign(Buffer.from(JSON.stringify({ kind: KIND, ...receipt })))
    .setProtectedHeader({ alg: TOKEN_ALGORITHM, kid: signing.id, typ: KIND })
    .sign(signing.key)
}

/** The receipt of a text that was sent along. Throws 401 unless it is one of ours and not over. */
export async function readReceipt(parts: IdentityParts, text: string): Promise<Receipt> {
  const keyId = keyIdOf(text)
  const key = keyId === null ? undefined : parts.keys().verifying.get(keyId)
  if (key === undefined) throw unauthorized('not a receipt of ours')
  let value: unknown
  try {
    const { payload } = await compactVerify(text, key, { algorithms: [TOKEN_ALGORITHM] })
    value = JSON.parse(Buffer.from(payload).toString())
  } catch (cause) {
    throw unauthorized(`not a receipt of ours: ${String(cause)}`)
  }
  const { kind, ...receipt } = (value ?? {}) as Receipt & { readonly kind?: unknown }
  if (kind !== KIND) throw unauthorized('a token is no receipt')
  if (receipt.expiresAtMs <= parts.clock.nowMs()) throw unauthorized('the receipt is over')
  if (isVoid(parts, receipt)) throw unauthorized('the receipt is revoked')
  return receipt
}

/** A changed password, or a disabled user, voids what was proven before. */
function isVoid(parts: IdentityParts, receipt: Receipt): boolean {
  return parts.revocations.voids({
    user: { id: receipt.userId, name: '', domain: { id: '', name: '' } },
    methods: receipt.methods,
    auditIds: [''],
    issuedAtMs: receipt.issuedAtMs,
    expiresAtMs: receipt.expiresAtMs,
    scope: { kind: 'unscoped' },
    roles: [],
  })
}
