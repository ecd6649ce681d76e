import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import { checkSchema, type Schema } from '../../common/http/schema.ts'
import type { StateTransaction } from '../../common/state/state-store.ts'
import { expecting, notFound } from '../errors.ts'
import type { PolicyAction } from '../policy/rules.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { projects } from '../tables/tables.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { projectTarget, requireProject } from './project-view.ts'
import { refuseImmutableChange } from './resource-options.ts'
import { apiUrl } from './views.ts'

const TAG: Schema = { type: 'string', minLength: 1, maxLength: 255, pattern: '^[^,/]*$' }
const TAGS_MAX = 80
/** The labels of a project. */
export const TAGS: Schema = { type: 'array', items: TAG, maxItems: TAGS_MAX, uniqueItems: true }

export const projectTagRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: '/v3/projects/:id/tags', handle: listTags },
  { method: 'PUT', path: '/v3/projects/:id/tags', handle: replaceTags },
  { method: 'DELETE', path: '/v3/projects/:id/tags', handle: deleteTags },
  { method: 'GET', path: '/v3/projects/:id/tags/:tag', handle: checkTag },
  { method: 'PUT', path: '/v3/projects/:id/tags/:tag', handle: addTag },
  { method: 'DELETE', path: '/v3/projects/:id/tags/:tag', handle: deleteTag },
]

async function listTags(call: IdentityCall): Promise<Answer> {
  return tagsAnswer(call, await enforcedProject(call, 'list_project_tags'))
}

async function replaceTags(call: IdentityCall): Promise<Answer> {
  await enforcedProject(call, 'update_project_tags')
  const { tags } = call.body
  if (tags === undefined) throw expecting('tags', 'request body')
  checkSchema(TAGS, tags)
  const row = await changeTags(call, () => tags as readonly string[])
  return tagsAnswer(call, row)
}

async function deleteTags(call: IdentityCall): Promise<Answer> {
  await enforcedProject(call, 'delete_project_tags')
  await changeTags(call, () => [])
  return NO_CONTENT
}

async function checkTag(call: IdentityCall): Promise<Answer> {
  const { tags } = await enforcedProject(call, 'get_project_tag')
  const { tag = '' } = call.params
  if (!tags.includes(tag)) throw notFound('project tag', tag)
  return NO_CONTENT
}

async function addTag(call: IdentityCall): Promise<Answer> {
  await enforcedProject(call, 'create_project_tag')
  const { tag = '' } = call.params
  checkSchema(TAG, tag)
  const row = await changeTags(call, (tags) => {
    const more = tags.includes(tag) ? tags : [...tags, tag]
    checkSchema(TAGS, more)
    return more
  })
  const location = `${apiUrl(call)}/projects/${row.id}/tags/${encodeURIComponent(tag)}`
  return { status: 201, headers: { Location: location } }
}

async function deleteTag(call: IdentityCall): Promise<Answer> {
  await enforcedProject(call, 'delete_project_tag')
  const { tag = '' } = call.params
  await changeTags(call, (tags) => {
    if (!tags.includes(tag)) throw notFound('project tag', tag)
    return tags.filter((other) => other !== tag)
  })
  return NO_CONTENT
}

async function enforcedProject(call: IdentityCall, action: PolicyAction): Promise<ProjectRow> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, action, await projectTarget(state, id))
  return requireProject(state, id)
}

function changeTags(
  call: IdentityCall,
  how: (tags: readonly string[]) => readonly string[],
): Promise<ProjectRow> {
  const { id = '' } = call.params
  return call.context.parts.state.transaction(async (tx: StateTransaction) => {
    const before = await requireProject(tx, id)
    refuseImmutableChange(before, 'project', {})
    const after = { ...before, tags: how(before.tags) }
    await projects.put(tx, after)
    return after
  })
}

function tagsAnswer(call: IdentityCall, { id, tags }: ProjectRow): Answer {
  return ok({ tags, links: { self: `${apiUrl(call)}/projects/${id}/tags` } })
}
