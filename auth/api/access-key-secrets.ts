import { ServiceError } from '../../common/errors.ts'
import type { Answer } from '../../common/http/route.ts'
import { checkSchema } from '../../common/http/schema.ts'
import { notFound } from '../errors.ts'
import { openBlob } from '../secrets/credential-blobs.ts'
import { parseAccessKey } from './credentials.ts'
import { findAccessKey } from './ec2-credentials.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { tokenOfAccessKey } from './signed-requests.ts'

/**
 * What a service needs to judge signatures by itself, chunks of a body included: an access key's secret, and a token of
 * whoever holds it, which says in its usual way who that is and when it is void. For services and administrators only.
 */
export const accessKeySecretRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/OS-SWIFTLET/access_key', handle: revealKey },
]

const REVEAL = {
  type: 'object',
  properties: { access: { type: 'string', minLength: 1, maxLength: 255 } },
  required: ['access'],
}

async function revealKey(call: IdentityCall): Promise<Answer> {
  enforce(call, 'reveal_access_key')
  checkSchema(REVEAL, call.body)
  const { parts } = call.context
  const { access } = call.body as { readonly access: string }
  const row = await findAccessKey(parts, access)
  if (row === undefined) throw notFound('credential', access)
  const blob = parseAccessKey(openBlob(parts, row))
  if (typeof blob.secret !== 'string') throw notFound('credential', access)
  try {
    const { token } = await tokenOfAccessKey(parts, row, blob)
    return { status: 200, body: { access_key: { secret: blob.secret, token } } }
  } catch (error) {
    // A 401 would say that the service itself may not ask.
    if (error instanceof ServiceError && error.status === 401) throw notFound('credential', access)
    throw error
  }
}
