import { requestHost } from '../../common/http/request-host.ts'
import { type CatalogEntry, type CatalogOwner, catalogOf } from '../catalog/catalog.ts'
import type { ProjectRow } from '../tables/rows.ts'
import type { SubjectScope, TokenSubject } from '../tokens/token-subject.ts'
import type { IdentityCall } from './identity-call.ts'
import { formatTime } from './times.ts'

/** A token as `POST` and `GET /v3/auth/tokens` show it. */
export async function showToken(
  call: IdentityCall,
  subject: TokenSubject,
  { catalog }: { readonly catalog: boolean },
): Promise<Readonly<Record<string, unknown>>> {
  const { claims, user, userDomain, scope, roles } = subject
  const expiresAtMs = user.passwords[0]?.expiresAtMs ?? null
  const scoped = scope.kind !== 'unscoped'
  return {
    methods: claims.methods,
    user: {
      domain: brief(userDomain),
      id: user.id,
      name: user.name,
      password_expires_at: expiresAtMs === null ? null : formatTime(expiresAtMs),
    },
    audit_ids: claims.auditIds,
    expires_at: formatTime(claims.expiresAtMs),
    issued_at: formatTime(claims.issuedAtMs),
    ...showScope(scope),
    ...showDelegation(subject),
    ...(scoped && { roles: roles.map(({ id, name }) => ({ id, name })) }),
    ...(scoped && catalog && { catalog: await catalogFor(call, ownerOf(subject)) }),
  }
}

/** The catalog, its URLs with the host that the client has reached. */
export function catalogFor(
  call: IdentityCall,
  owner: CatalogOwner,
): Promise<readonly CatalogEntry[]> {
  const host = requestHost(call.baseUrl.replace(/^https?:\/\//, ''))
  return catalogOf(call.context.parts.state, {
    ...owner,
    ...(host !== null && { requestHost: host }),
  })
}

function showScope(scope: SubjectScope): Readonly<Record<string, unknown>> {
  switch (scope.kind) {
    case 'unscoped':
      return {}
    case 'system':
      return { system: { all: true } }
    case 'domain':
      return { domain: brief(scope.domain) }
    case 'project':
      return {
        project: { domain: brief(scope.domain), ...brief(scope.project) },
        is_domain: false,
      }
  }
}

/** What the token was got by. */
function showDelegation({ claims, delegation }: TokenSubject): Readonly<Record<string, unknown>> {
  switch (delegation?.kind) {
    case undefined:
      return {}
    case 'application-credential': {
      const { id, name, unrestricted } = delegation.credential
      const rules = claims.applicationCredential?.accessRules
      return {
        application_credential: {
          id,
          name,
          restricted: !unrestricted,
          ...(rules !== undefined && { access_rules: rules }),
        },
      }
    }
    case 'access-token': {
      const { id, consumerId } = delegation.token
      return { 'OS-OAUTH1': { access_token_id: id, consumer_id: consumerId } }
    }
    case 'trust': {
      const { id, trustorId, trusteeId, impersonation } = delegation.trust
      return {
        'OS-TRUST:trust': {
          id,
          trustor_user: { id: trustorId },
          trustee_user: { id: trusteeId },
          impersonation,
        },
      }
    }
  }
}

function brief({ id, name }: ProjectRow): { readonly id: string; readonly name: string } {
  return { id, name }
}

function ownerOf({ user, scope }: TokenSubject) {
  return {
    userId: user.id,
    ...(scope.kind === 'project' && { projectId: scope.project.id }),
  }
}
