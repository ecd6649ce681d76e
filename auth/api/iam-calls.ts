import { ServiceError } from '../../common/errors.ts'
import { type Answer, ok } from '../../common/http/route.ts'
import { checkSchema } from '../../common/http/schema.ts'
import { callIam } from '../iam/actions.ts'
import { accountsOfEmails } from '../iam/email-accounts.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'

/** Calls of AWS's IAM and STS, which the S3 API passes on after it has found their signature good. For services only. */
export const iamCallRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/OS-SWIFTLET/iam', handle: call },
  { method: 'POST', path: '/v3/OS-SWIFTLET/accounts_of_emails', handle: accountsBehind },
]

const REQUEST = {
  type: 'object',
  properties: {
    access_key: { type: ['string', 'null'], maxLength: 255 },
    session_token: { type: 'string', maxLength: 65_536 },
    action: { type: 'string', maxLength: 128 },
    params: { type: 'object', additionalProperties: { type: 'string' } },
  },
  required: ['access_key', 'action', 'params'],
} as const

interface Passed {
  readonly access_key: string | null
  readonly session_token?: string
  readonly action: string
  readonly params: Readonly<Record<string, string>>
}

async function call(call: IdentityCall): Promise<Answer> {
  enforce(call, 'call_iam')
  checkSchema(REQUEST, call.body)
  const {
    access_key: accessKey,
    session_token: sessionToken,
    action,
    params,
  } = call.body as unknown as Passed
  const request = { accessKey, action, params, ...(sessionToken !== undefined && { sessionToken }) }
  try {
    return ok({ result: await callIam(call.context.parts, request) })
  } catch (error) {
    // What the client has done wrong, in AWS's words: no failure of the call that has passed it on.
    if (!(error instanceof ServiceError) || (error.status >= 500 && error.status !== 501))
      throw error
    const { status, code, message } = error
    return ok({ error: { status, code, message } })
  }
}

const EMAILS = {
  type: 'object',
  properties: {
    emails: { type: 'array', maxItems: 100, items: { type: 'string', maxLength: 255 } },
  },
  required: ['emails'],
} as const

/** Of grants that name people by their addresses. */
async function accountsBehind(call: IdentityCall): Promise<Answer> {
  enforce(call, 'call_iam')
  checkSchema(EMAILS, call.body)
  const { emails } = call.body as unknown as { readonly emails: readonly string[] }
  return ok({ accounts: await accountsOfEmails(call.context.parts, emails) })
}
