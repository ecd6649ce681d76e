/** What policies of IAM's look like where they are written, and how they are read again. */
import { parsedPolicy } from '../../common/access-policy/parsed-policy.ts'
import {
  type PolicyDocument,
  type PolicyForm,
  parsePolicy,
} from '../../common/access-policy/policy-document.ts'
import { ServiceError } from '../../common/errors.ts'
import { limitExceeded, malformedDocument } from './iam-error.ts'

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
  return parsedPolicy(text, ROLE_POLICY)
}

/** Characters of a shared policy, without white space, and with it. */
export const SHARED_CHARACTERS_MAX = 6144
const SENT_CHARACTERS_MAX = 32_768

/**
 * A shared policy, as it is kept to be judged: without white space between its elements. AWS does not count white space inside
 * of texts either; here it counts, so that what is judged stays as small as it looks. Throws MalformedPolicyDocument, LimitExceeded.
 */
export function checkedShared(document: string): string {
  if (document.length > SENT_CHARACTERS_MAX)
    throw limitExceeded(`characters of a policy with its white space: ${SENT_CHARACTERS_MAX}`)
  checkPolicy(document, { ...OWN_POLICY, bytesMax: Number.POSITIVE_INFINITY })
  const text = JSON.stringify(JSON.parse(document))
  const characters = Math.max(text.length, document.replaceAll(/\s/g, '').length)
  if (characters > SHARED_CHARACTERS_MAX)
    throw limitExceeded(`characters of a policy: ${SHARED_CHARACTERS_MAX}`)
  return text
}
