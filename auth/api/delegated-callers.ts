import { forbidden, forbiddenAction } from '../errors.ts'
import type { IdentityCaller } from './identity-call.ts'

/** Refusals of tokens that were got by a trust, an application credential or for a consumer; each a 403. */

/** What outlives a trust must not be made by it. */
export function refuseTrusted({ subject }: IdentityCaller, what: string): void {
  const { delegation } = subject
  if (delegation === undefined || delegation.kind === 'application-credential') return
  throw forbidden(`Cannot manage ${what} with a token issued via delegation.`)
}

/** Only an application credential that says so may make others. */
export function refuseRestricted({ subject }: IdentityCaller, what: string): void {
  const { delegation } = subject
  if (delegation?.kind !== 'application-credential' || delegation.credential.unrestricted) return
  throw forbiddenAction(
    `Using method 'application_credential' is not allowed for managing additional ${what}`,
  )
}

/** For what no application credential may do. */
export function refuseApplicationCredential({ subject }: IdentityCaller, what: string): void {
  if (subject.delegation?.kind !== 'application-credential') return
  throw forbiddenAction(`Using method 'application_credential' is not allowed for managing ${what}`)
}
