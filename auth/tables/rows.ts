/** What the identity service keeps. Ids are 32 hex digits unless a resource says otherwise; times are milliseconds since 1970. */

/** Attributes that users of the API may add to a resource. */
export type Extra = Readonly<Record<string, StateValue>>

import type { StateValue } from '../../common/state/state-store.ts'

/** A project, or a domain, which is a project without one around it. */
export interface ProjectRow {
  readonly id: string
  readonly name: string
  readonly isDomain: boolean
  /** The domain it lies in; null for a domain. */
  readonly domainId: string | null
  /** The project above it, or its domain; null for a domain. */
  readonly parentId: string | null
  readonly enabled: boolean
  /** Set while a domain is emptied before its row goes: it is not there for anybody. */
  readonly removing?: true
  readonly description: string
  readonly tags: readonly string[]
  readonly options: Extra
  readonly extra: Extra
}

export interface PasswordRow {
  /** As `user-key.ts` makes it. */
  readonly hash: string
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
  /** Set by the user, not by an administrator. */
  readonly selfService: boolean
}

export interface UserRow {
  readonly id: string
  readonly domainId: string
  readonly name: string
  readonly enabled: boolean
  readonly defaultProjectId: string | null
  /** The newest first; older ones only to forbid them. */
  readonly passwords: readonly PasswordRow[]
  readonly options: Extra
  readonly extra: Extra
  readonly createdAtMs: number
  /** The day of the last sign-in, where inactive users are disabled. */
  readonly lastActiveAtMs: number | null
}

export interface GroupRow {
  readonly id: string
  readonly domainId: string
  readonly name: string
  readonly description: string
  readonly extra: Extra
}

export interface MembershipRow {
  readonly groupId: string
  readonly userId: string
}

export interface RoleRow {
  readonly id: string
  readonly name: string
  /** Set for a role that exists in one domain only. */
  readonly domainId: string | null
  readonly description: string | null
  readonly options: Extra
  readonly extra: Extra
}

/** Who has the prior role has the implied one too. */
export interface ImpliedRoleRow {
  readonly priorId: string
  readonly impliedId: string
}

export type ActorKind = 'user' | 'group'
export type TargetKind = 'project' | 'domain' | 'system'

/** The target of assignments on the whole deployment. */
export const SYSTEM_ID = 'system'

export interface AssignmentRow {
  readonly actorKind: ActorKind
  readonly actorId: string
  readonly targetKind: TargetKind
  readonly targetId: string
  readonly roleId: string
  /** Counts for the projects below the target, not for itself. */
  readonly inherited: boolean
}

export interface RegionRow {
  /** Chosen by the client, or 32 hex digits. */
  readonly id: string
  readonly parentId: string | null
  readonly description: string
  readonly extra: Extra
}

export interface ServiceRow {
  readonly id: string
  readonly type: string
  readonly name: string | null
  readonly enabled: boolean
  readonly description: string | null
  readonly extra: Extra
}

export const INTERFACES = ['public', 'internal', 'admin'] as const
export type EndpointInterface = (typeof INTERFACES)[number]

export interface EndpointRow {
  readonly id: string
  readonly serviceId: string
  readonly regionId: string | null
  readonly interface: EndpointInterface
  /** May hold `$(project_id)s`, `$(user_id)s` and their older forms. */
  readonly url: string
  readonly enabled: boolean
  readonly extra: Extra
}
