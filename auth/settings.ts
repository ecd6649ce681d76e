import type { LimitModel } from './limits/limit-model.ts'

/** How the identity service decides what deployments decide differently; names and defaults are Keystone's. */
export interface IdentitySettings {
  /** Where clients reach it, without `/v3`: as they did (`Host`) if absent. */
  readonly publicUrl?: string
  readonly tokenLifeSeconds: number
  /** How long after their end tokens are good for services that ask with `allow_expired`: they finish long work. */
  readonly allowExpiredSeconds: number
  /** Whether limits of projects go together with those of their domain. */
  readonly limitModel: LimitModel
  /** Projects below each other, the first included; one alone where the model of limits wants it so. */
  readonly projectDepthMax: number
  /** Domains may be named in calls that leave it out. */
  readonly defaultDomainId: string
  /** Application credentials that a user may have; any number if null. */
  readonly applicationCredentialsPerUserMax: number | null
  /** Credentials that a user may have; any number if null. */
  readonly credentialsPerUserMax: number | null
  /** How old a signed request of EC2 or S3 may be. */
  readonly signedRequestSeconds: number
  /** One-time codes before the current one that are taken too. */
  readonly earlierCodesTaken: number
  /** How long somebody who has to prove more than was proven may take. */
  readonly receiptSeconds: number
  /** How long a consumer of OAuth waits for the user, and how long it may act then. */
  readonly oauthRequestSeconds: number
  readonly oauthAccessSeconds: number
  /** How often what somebody trusts another with may be given on. */
  readonly trustRedelegationsMax: number
  /** Items that a list shows at most; any number if null. */
  readonly listLimit: number | null
  /** Instead of it, for the lists of one section of Keystone's configuration. */
  readonly listLimits: Readonly<Partial<Record<ListSection, number | null>>>
  /** A project's account in the object store is its id behind this; AWS's IAM calls accounts so. */
  readonly storageAccountPrefix: string
  /** The project whose policies of AWS's IAM are about the whole cloud; none if null. */
  readonly cloudProjectId: string | null
  /** `host:port` of OpenID Connect providers that may be asked although they are not on the internet, or not by HTTPS. */
  readonly webIdentityHosts: readonly string[]
  readonly security: SecurityCompliance
}

/** The sections of Keystone's configuration that have a `list_limit`. */
export const LIST_SECTIONS = ['catalog', 'identity', 'policy', 'resource', 'role'] as const
export type ListSection = (typeof LIST_SECTIONS)[number]

/** Keystone's [security_compliance]; null switches a rule off. */
export interface SecurityCompliance {
  readonly lockoutFailureAttempts: number | null
  readonly lockoutSeconds: number
  readonly passwordExpiresDays: number | null
  readonly uniqueLastPasswordCount: number
  readonly minimumPasswordAgeDays: number
  readonly passwordRegex: string | null
  readonly passwordRegexDescription: string | null
  readonly changePasswordUponFirstUse: boolean
  readonly disableUserAccountDaysInactive: number | null
}

/** What a deployment names of them. */
export interface IdentitySettingsChoice extends Partial<Omit<IdentitySettings, 'security'>> {
  readonly security?: Partial<SecurityCompliance>
}

export const DEFAULT_DOMAIN_ID = 'default'

export const DEFAULT_SETTINGS: IdentitySettings = {
  tokenLifeSeconds: 24 * 3600,
  allowExpiredSeconds: 48 * 3600,
  limitModel: 'flat',
  projectDepthMax: 5,
  defaultDomainId: DEFAULT_DOMAIN_ID,
  applicationCredentialsPerUserMax: null,
  credentialsPerUserMax: null,
  signedRequestSeconds: 15 * 60,
  earlierCodesTaken: 1,
  receiptSeconds: 300,
  oauthRequestSeconds: 8 * 3600,
  oauthAccessSeconds: 24 * 3600,
  trustRedelegationsMax: 3,
  listLimit: 10_000,
  listLimits: {},
  storageAccountPrefix: 'AUTH_',
  cloudProjectId: null,
  webIdentityHosts: [],
  security: {
    lockoutFailureAttempts: 10,
    lockoutSeconds: 300,
    passwordExpiresDays: null,
    uniqueLastPasswordCount: 0,
    minimumPasswordAgeDays: 0,
    passwordRegex: null,
    passwordRegexDescription: null,
    changePasswordUponFirstUse: false,
    disableUserAccountDaysInactive: null,
  },
}

/** All settings: those chosen, the others as by default. */
export function completeSettings(choice: IdentitySettingsChoice = {}): IdentitySettings {
  return {
    ...DEFAULT_SETTINGS,
    ...choice,
    security: { ...DEFAULT_SETTINGS.security, ...choice.security },
  }
}
