import type { ProjectRights } from '../../common/identity.ts'

/** Where an account keeps the domain of its project, under Swift's name for it: clients can see but not set it. */
export const PROJECT_DOMAIN_HEADER = 'x-account-sysmeta-project-domain-id'
/** As owners see it. */
export const PROJECT_DOMAIN_SHOWN = 'X-Account-Project-Domain-Id'

/** The domain in which names of projects and users are unique: it was there before there were domains. */
export const DEFAULT_DOMAIN_ID = 'default'
/** Of an account that somebody made who was not of its project. */
const UNKNOWN = '_unknown'

type Headers = Readonly<Record<string, string>>

/** Whether names in the account's ACLs may be believed: it is of the default domain, or older than domains. */
export function hasUniqueNames(account: Headers): boolean {
  return [undefined, '', DEFAULT_DOMAIN_ID].includes(account[PROJECT_DOMAIN_HEADER])
}

/**
 * What is to be noted of an account that is made or changed, by the rules of Swift's keystoneauth; undefined for nothing.
 * `account` is null for one that is not there yet; `project` the caller's, `own` whether the account is its project's.
 */
export function projectDomainOf(change: {
  readonly account: Headers | null
  readonly project: ProjectRights | undefined
  readonly own: boolean
}): string | undefined {
  const { account, project, own } = change
  if (project === undefined) return undefined
  const domainId = own ? (project.domainId ?? undefined) : undefined
  if (account === null) return domainId ?? UNKNOWN
  const noted = account[PROJECT_DOMAIN_HEADER]
  if (noted === undefined || noted === '') {
    return domainId === DEFAULT_DOMAIN_ID ? domainId : undefined
  }
  return noted === UNKNOWN ? domainId : undefined
}
