import { ServiceError } from '../../common/errors.ts'
import { type Answer, ok } from '../../common/http/route.ts'
import { checkSchema } from '../../common/http/schema.ts'
import { notFound } from '../errors.ts'
import { callerOfKey } from '../iam/iam-caller.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'

/**
 * What a service needs to judge signatures by itself, chunks of a body included: an access key's secret, and a token of
 * whoever holds it, which says in its usual way who that is and when it is void. For services and administrators only.
 */
export const accessKeySecretRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/OS-SWIFTLET/access_key', handle: revealKey },
]

const REVEAL = {
  type: 'object',
  properties: {
    access: { type: 'string', minLength: 1, maxLength: 255 },
    session_token: { type: 'string', maxLength: 65_536 },
  },
  required: ['access'],
}

/** What is wrong with a session's token; the client is told. */
const TOKEN_REFUSALS = ['InvalidToken', 'ExpiredToken']

async function revealKey(call: IdentityCall): Promise<Answer> {
  enforce(call, 'reveal_access_key')
  checkSchema(REVEAL, call.body)
  const { access: accessKey, session_token: sessionToken } = call.body as {
    readonly access: string
    readonly session_token?: string
  }
  const key = { accessKey, ...(sessionToken !== undefined && { sessionToken }) }
  try {
    const { secret, token, principal } = await callerOfKey(call.context.parts, key)
    // Operators are who their token says; IAM has something to say of them only where a policy does.
    const hasIam =
      principal.kind !== 'account' || principal.policies.length > 0 || principal.only !== undefined
    return ok({ access_key: { secret, token, ...(hasIam && { principal }) } })
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    if (TOKEN_REFUSALS.includes(error.code)) return ok({ refused: error.code })
    if (error.code === 'InvalidClientTokenId') throw notFound('credential', accessKey)
    throw error
  }
}
