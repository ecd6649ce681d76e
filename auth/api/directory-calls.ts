import type { RawCall } from '../../common/http/service-app.ts'
import { isDirectoryId } from '../directories/directory-tables.ts'
import { forbidden } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { projects } from '../tables/tables.ts'
import type { IdentityContext } from './identity-call.ts'

/** Where a path names somebody, by an id that may be a directory's. */
const NAMED = /\/(users|groups)\/([0-9a-f]{64})(?=\/|$)/g
/** Calls that would change somebody, or who is in a group. */
const CHANGED =
  /^\/v3\/(?:users\/([^/]+)(?:\/password)?|groups\/([^/]+)|groups\/([^/]+)\/users\/([^/]+))$/
const LIST = /^\/v3\/(users|groups)$/
const NO_MIXING = 'Group membership across backend boundaries is not allowed'

/**
 * Before a call looks at users and groups: those that it is about are brought into step with the directory they live in,
 * and changes of them are refused with 403, in Keystone's words. Throws 503 where the directory cannot be asked.
 */
export async function askDirectories(call: RawCall, context: IdentityContext): Promise<void> {
  const { parts, caller } = context
  const path = call.path.replace(/\/$/, '')
  const reads = call.method === 'GET' || call.method === 'HEAD'
  // Changing a password is all that nobody in particular may do here.
  if (caller === null && !path.endsWith('/password')) return
  if (!reads) await refuseChange(parts, path, context, call)
  else await refreshList(parts, path, context, call)
  for (const [, kind, id] of path.matchAll(NAMED)) {
    if (kind === 'users') await parts.directories.refreshUser(id!)
    else await parts.directories.refreshGroup(id!)
  }
}

async function refuseChange(
  parts: IdentityParts,
  path: string,
  context: IdentityContext,
  call: RawCall,
): Promise<void> {
  const { directories } = parts
  const list = LIST.exec(path)
  if (list !== null) {
    const body = call.body[list[1] === 'users' ? 'user' : 'group'] as
      | { readonly domain_id?: unknown }
      | undefined
    const named = body?.domain_id
    const domainId = typeof named === 'string' ? named : domainOf(context)
    if ((await projects.get(parts.state, domainId))?.isDomain !== true) return
    const reason = await directories.readOnlyReason(domainId)
    if (reason !== null) throw forbidden(reason)
    return
  }
  const changed = CHANGED.exec(path)
  if (changed === null) return
  const [, userId, groupId, joinedId, memberId] = changed
  const id = userId ?? groupId ?? joinedId!
  const entry = await directories.entryOf(id)
  if (entry !== null) {
    throw forbidden((await directories.readOnlyReason(entry.domainId)) ?? NO_MIXING)
  }
  if (memberId !== undefined && isDirectoryId(memberId)) throw forbidden(NO_MIXING)
}

async function refreshList(
  { directories, state }: IdentityParts,
  path: string,
  context: IdentityContext,
  call: RawCall,
): Promise<void> {
  const list = LIST.exec(path)
  if (list === null) return
  const scope = context.caller?.subject.scope
  const domainId = call.query.get('domain_id') ?? (scope?.kind === 'domain' ? scope.domain.id : '')
  if ((await projects.get(state, domainId))?.isDomain !== true) return
  const name = call.query.get('name')
  if (list[1] === 'groups') await directories.refreshGroups(domainId)
  else if (name === null) await directories.refreshUsers(domainId)
  else await directories.refreshUserByName(domainId, name)
}

/** As for bodies that name no domain. */
function domainOf({ parts, caller }: IdentityContext): string {
  const scope = caller?.subject.scope
  return scope?.kind === 'domain' || scope?.kind === 'project'
    ? scope.domain.id
    : parts.settings.defaultDomainId
}
