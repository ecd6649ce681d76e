/** What policies of IAM's look like where they are written, and how they are read again. */
import {
  type PolicyDocument,
  type PolicyForm,
  parsePolicy,
} from '../../common/access-policy/policy-document.ts'
import { ServiceError } from '../../common/errors.ts'
import { malformedDocument } from './iam-error.ts'

/** Somebody's own; AWS's bounds are of all of a kind together. */
export const OWN_POLICY: PolicyForm = {
  principal: 'forbidden',
  resource: 'required',
  bytesMax: 10_240,
}

/** Those of roles may name principals, which say nothing there: clients of Ceph send them so. */
export const ROLE_POLICY: PolicyForm = { ...OWN_POLICY, principal: 'ignored' }

/** What a session is narrowed to. */
export const SESSION_POLICY: PolicyForm = { ...OWN_POLICY, bytesMax: 2048 }

/** Whom a role trusts. */
export const TRUST_POLICY: PolicyForm = {
  principal: 'required',
  resource: 'forbidden',
  bytesMax: 2048,
}

/** Throws MalformedPolicyDocument, IAM's word for it, with what is wrong. */
export function checkPolicy(text: string, form: PolicyForm): void {
  try {
    parsePolicy(text, form)
  } catch (error) {
    if (error instanceof ServiceError && error.status === 400)
      throw malformedDocument(error.message)
    throw error
  }
}

/** One that was checked when it was written, of whatever kind. */
export function parseOwn(text: string): PolicyDocument {
  return parsePolicy(text, ROLE_POLICY)
}
