import { ServiceError } from '../../common/errors.ts'
import type { IamRequest, IamResult } from '../../common/iam.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { KEY_ACTIONS } from './access-keys.ts'
import { ACCOUNT_ACTIONS } from './account.ts'
import { ATTACHED_POLICY_ACTIONS } from './attached-policies.ts'
import { BOUNDARY_ACTIONS } from './boundaries.ts'
import { BUCKET_SESSION_ACTIONS } from './bucket-session.ts'
import { CONTEXT_KEY_ACTIONS } from './context-keys.ts'
import { CUSTOMER_POLICY_ACTIONS } from './customer-policies.ts'
import type { IamHandler } from './iam-call.ts'
import { callerOfKey } from './iam-caller.ts'
import { accessDenied } from './iam-error.ts'
import { INLINE_POLICY_ACTIONS } from './inline-policies.ts'
import { SIMULATION_ACTIONS } from './policy-simulation.ts'
import { POLICY_VERSION_ACTIONS } from './policy-versions.ts'
import { PROVIDER_ACTIONS } from './providers.ts'
import { ROLE_ACTIONS } from './roles.ts'
import { STS_ACTIONS } from './sts.ts'
import { GROUP_ACTIONS, USER_ACTIONS } from './users.ts'
import { WebIdentities } from './web-identity.ts'

/** Every action of IAM and STS that is here. */
export const IAM_ACTIONS: Readonly<Record<string, IamHandler>> = {
  ...ACCOUNT_ACTIONS,
  ...USER_ACTIONS,
  ...KEY_ACTIONS,
  ...GROUP_ACTIONS,
  ...ROLE_ACTIONS,
  ...INLINE_POLICY_ACTIONS,
  ...ATTACHED_POLICY_ACTIONS,
  ...CUSTOMER_POLICY_ACTIONS,
  ...POLICY_VERSION_ACTIONS,
  ...BOUNDARY_ACTIONS,
  ...SIMULATION_ACTIONS,
  ...CONTEXT_KEY_ACTIONS,
  ...PROVIDER_ACTIONS,
  ...STS_ACTIONS,
  ...BUCKET_SESSION_ACTIONS,
}

const webIdentities = new WebIdentities()

/** Answers a call. Throws AWS's refusals; 501 for actions that are not here. */
export async function callIam(parts: IdentityParts, request: IamRequest): Promise<IamResult> {
  const { action, params, accessKey, sessionToken } = request
  if (action === 'AssumeRoleWithWebIdentity') return webIdentities.assume({ parts, params })
  const handle = Object.hasOwn(IAM_ACTIONS, action) ? IAM_ACTIONS[action] : undefined
  if (handle === undefined) {
    throw new ServiceError('NotImplemented', `${action} is not implemented.`, { status: 501 })
  }
  if (accessKey === null) {
    const message = 'Request is missing Authentication Token'
    throw new ServiceError('MissingAuthenticationToken', message, { status: 403 })
  }
  const key = { accessKey, ...(sessionToken !== undefined && { sessionToken }) }
  const caller = await callerOfKey(parts, key)
  const { arn, only } = caller.principal
  if (only !== undefined) throw accessDenied(arn, action, `arn:aws:s3:::${only.bucket}`)
  return handle({ parts, caller, action, params, ...key })
}
