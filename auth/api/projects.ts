import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { ancestors } from '../assignments/effective-roles.ts'
import { conflict, forbidden, invalid, notFound } from '../errors.ts'
import { type Change, change } from '../identity-parts.ts'
import { depthMaxOf } from '../limits/limit-model.ts'
import { beginRemoval } from '../removal/domain-removal.ts'
import { deleteProjectRow } from '../removal/project-removal.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { projects } from '../tables/tables.ts'
import {
  bodyOf,
  changed,
  extraOf,
  FLAG,
  ID_OR_NULL,
  nameSchema,
  refuseOtherId,
  TEXT_OR_NULL,
  type Values,
} from './bodies.ts'
import {
  callerOrRefuse,
  domainOfCaller,
  enforce,
  type IdentityCall,
  type IdentityRoute,
  mayDo,
} from './identity-call.ts'
import { isTrueText } from './list-filters.ts'
import { type LongList, longListAnswer } from './long-lists.ts'
import { TAGS } from './project-tags.ts'
import { projectTarget, requireProject, showProjectRow } from './project-view.ts'
import {
  IMMUTABLE_OPTIONS,
  refuseImmutableChange,
  refuseImmutableRemoval,
  withOptions,
} from './resource-options.ts'
import { createdAnswer, linked } from './views.ts'

const PROPERTIES = {
  name: nameSchema(64),
  description: TEXT_OR_NULL,
  domain_id: ID_OR_NULL,
  parent_id: ID_OR_NULL,
  enabled: FLAG,
  is_domain: FLAG,
  tags: TAGS,
  options: IMMUTABLE_OPTIONS,
}
const OWN = ['id', 'links', ...Object.keys(PROPERTIES)]
const CREATE = { properties: PROPERTIES, required: ['name'] }
const UPDATE = { properties: PROPERTIES, minProperties: 1 }
const FILTERS = ['id', 'name', 'domain_id', 'enabled', 'parent_id', 'is_domain']

export const projectRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/projects', handle: createProject },
  { method: 'GET', path: '/v3/projects', handle: listProjects },
  { method: 'GET', path: '/v3/projects/:id', handle: showProject },
  { method: 'PATCH', path: '/v3/projects/:id', handle: updateProject },
  { method: 'DELETE', path: '/v3/projects/:id', handle: deleteProject },
]

async function createProject(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  callerOrRefuse(call)
  const values = bodyOf(call, 'project', CREATE)
  const place = await placeOfNew(call, values)
  const row: ProjectRow = {
    id: randomId(parts.random),
    name: values.name as string,
    ...place,
    enabled: (values.enabled as boolean | undefined) ?? true,
    description: (values.description as string | null | undefined) ?? '',
    tags: (values.tags as readonly string[] | undefined) ?? [],
    options: withOptions({}, values.options),
    extra: extraOf(values, OWN),
  }
  enforce(call, 'create_project', { target: { project: showProjectRow(row) } })
  await parts.state.transaction(async (tx) => {
    await checkParent(tx, row, depthMaxOf(parts.settings))
    await refuseDuplicate(tx, row)
    await projects.put(tx, row)
  })
  return createdAnswer(call, showProjectRow(row), { name: 'project' })
}

/** Where a new project lies: below its parent, in the parent's domain. */
async function placeOfNew(
  call: IdentityCall,
  values: Values,
): Promise<Pick<ProjectRow, 'isDomain' | 'domainId' | 'parentId'>> {
  if (values.is_domain === true) {
    if (values.parent_id != null || values.domain_id != null) {
      throw invalid('only root projects are allowed to act as domains.')
    }
    return { isDomain: true, domainId: null, parentId: null }
  }
  const parent =
    typeof values.parent_id === 'string'
      ? await projects.get(call.context.parts.state, values.parent_id)
      : undefined
  const parentDomain = parent === undefined ? undefined : (parent.domainId ?? parent.id)
  const domainId = (values.domain_id as string | null | undefined) ?? parentDomain
  const inDomain = domainId ?? domainOfCaller(call)
  return {
    isDomain: false,
    domainId: inDomain,
    parentId: (values.parent_id as string | null | undefined) ?? inDomain,
  }
}

/** Throws unless the parent is there, enabled, in the same domain and not too deep. */
async function checkParent(reader: StateReader, row: ProjectRow, depthMax: number): Promise<void> {
  if (row.isDomain) return
  const domain = await projects.get(reader, row.domainId!)
  if (domain === undefined || !domain.isDomain || domain.removing) {
    throw notFound('domain', row.domainId!)
  }
  const parent = await requireProject(reader, row.parentId!)
  if ((parent.domainId ?? parent.id) !== row.domainId) {
    throw invalid(
      `cannot create a project within a project that belongs to another domain: ${row.domainId}.`,
    )
  }
  const above = parent.isDomain ? [] : [parent, ...(await ancestors(reader, parent))]
  const disabled = above.find(({ enabled }) => !enabled)
  if (disabled !== undefined || (!domain.enabled && parent.isDomain)) {
    throw invalid(
      `cannot create a project in a branch containing a disabled project: ${(disabled ?? domain).id}.`,
    )
  }
  if (above.length + 1 > depthMax) {
    throw forbidden(`Max hierarchy depth reached for ${parent.id} branch.`)
  }
}

async function listProjects(call: IdentityCall): Promise<Answer> {
  const { caller } = call.context
  const { query } = call
  enforce(call, 'list_projects', {
    target: { domain_id: query.get('domain_id') ?? caller?.credentials.domain_id ?? null },
  })
  const wantsDomains = query.has('is_domain') && isTrueText(query.get('is_domain') || 'true')
  const { state } = call.context.parts
  const list: LongList<ProjectRow> = {
    pages: (after) => pagesFor(call, wantsDomains, after),
    get: (id) => projects.get(state, id),
    isWanted: (row) =>
      row.isDomain === wantsDomains &&
      !row.removing &&
      mayDo(call, 'list_projects', { target: { domain_id: row.domainId } }) &&
      hasTags(row, query),
    show: showProjectRow,
  }
  return longListAnswer(call, list, { name: 'projects', filters: FILTERS })
}

/** By an index where the query names a value that has one. */
async function* pagesFor(
  call: IdentityCall,
  wantsDomains: boolean,
  after: ProjectRow | undefined,
): AsyncGenerator<readonly ProjectRow[], void, undefined> {
  const { state } = call.context.parts
  const [name, domainId] = [call.query.get('name'), call.query.get('domain_id')]
  const from = after === undefined ? {} : { after }
  if (wantsDomains || domainId === null) {
    yield* projects.pagesBy(state, 'kind', {
      values: [wantsDomains ? 'domain' : 'project'],
      ...from,
    })
  } else if (name === null) {
    yield* projects.pagesBy(state, 'domain', { values: [domainId], ...from })
  } else {
    const row = await projects.one(state, 'name', domainId, name)
    if (row !== undefined && row.id !== after?.id) yield [row]
  }
}

/** The four filters of the API working group: all of these, any of these, and their opposites. */
function hasTags({ tags }: ProjectRow, query: URLSearchParams): boolean {
  const listOf = (name: string) => query.get(name)?.split(',')
  const all = (wanted: readonly string[]) => wanted.every((tag) => tags.includes(tag))
  const any = (wanted: readonly string[]) => wanted.some((tag) => tags.includes(tag))
  const [allOf, anyOf] = [listOf('tags'), listOf('tags-any')]
  const [notAll, notAny] = [listOf('not-tags'), listOf('not-tags-any')]
  return (
    (allOf === undefined || all(allOf)) &&
    (anyOf === undefined || any(anyOf)) &&
    (notAll === undefined || !all(notAll)) &&
    (notAny === undefined || !any(notAny))
  )
}

async function showProject(call: IdentityCall): Promise<Answer> {
  const { state } = call.context.parts
  const { id = '' } = call.params
  enforce(call, 'get_project', await projectTarget(state, id))
  const row = await requireProject(state, id)
  const family = await familyOf(call, row)
  return ok({ project: { ...linked(call, 'projects', showProjectRow(row)), ...family } })
}

/** What `?parents_as_list`, `?subtree_as_ids` and their like ask for. */
async function familyOf(call: IdentityCall, row: ProjectRow): Promise<Values> {
  const { query } = call
  const has = (name: string) => query.has(name) && isTrueText(query.get(name) || 'true')
  const { state } = call.context.parts
  const shown = (rows: readonly ProjectRow[]) =>
    rows
      .filter((other) => mayDo(call, 'get_project', { target: { project: showProjectRow(other) } }))
      .map((other) => ({ project: linked(call, 'projects', showProjectRow(other)) }))
  for (const kind of ['parents', 'subtree']) {
    if (has(`${kind}_as_list`) && has(`${kind}_as_ids`)) {
      throw invalid(`Cannot use ${kind}_as_list and ${kind}_as_ids query params at the same time.`)
    }
  }
  return {
    ...(has('parents_as_list') && { parents: shown(await ancestors(state, row)) }),
    ...(has('parents_as_ids') && { parents: await parentIds(state, row) }),
    ...(has('subtree_as_list') && { subtree: shown(await descendants(state, row.id)) }),
    ...(has('subtree_as_ids') && { subtree: await subtreeIds(state, row.id) }),
  }
}

type IdTree = { readonly [id: string]: IdTree } | null

async function parentIds(reader: StateReader, row: ProjectRow): Promise<IdTree> {
  if (row.parentId === null) return null
  const parent = await projects.get(reader, row.parentId)
  return parent === undefined ? null : { [parent.id]: await parentIds(reader, parent) }
}

async function subtreeIds(reader: StateReader, id: string): Promise<IdTree> {
  const children = await projects.by(reader, 'parent', id)
  if (children.length === 0) return null
  const trees = children.map(async (row) => [row.id, await subtreeIds(reader, row.id)] as const)
  return Object.fromEntries(await Promise.all(trees))
}

/** All projects below one, level by level. */
async function descendants(reader: StateReader, id: string): Promise<readonly ProjectRow[]> {
  const below: ProjectRow[] = []
  const queue = [id]
  for (const next of queue) {
    const children = await projects.by(reader, 'parent', next)
    below.push(...children)
    queue.push(...children.map((row) => row.id))
  }
  return below
}

async function updateProject(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { id = '' } = call.params
  enforce(call, 'update_project', await projectTarget(parts.state, id))
  const values = bodyOf(call, 'project', UPDATE)
  refuseOtherId(values, id)
  const row = await change(parts, async (changing) => {
    const before = await requireProject(changing.tx, id)
    refuseImmutableChange(before, kindOf(before), values)
    const after = updatedProject(before, values)
    if (after.name !== before.name) await refuseDuplicate(changing.tx, after)
    await checkSwitch(changing, before, after)
    await projects.put(changing.tx, after)
    return after
  })
  return ok({ project: linked(call, 'projects', showProjectRow(row)) })
}

function updatedProject(before: ProjectRow, values: Values): ProjectRow {
  const fixed = [
    ['domain_id', before.domainId, 'Cannot change the domain_id'],
    ['parent_id', before.parentId, 'Update of `parent_id` is not allowed.'],
    ['is_domain', before.isDomain, 'Update of `is_domain` is not allowed.'],
  ] as const
  for (const [name, value, message] of fixed) {
    if (Object.hasOwn(values, name) && values[name] !== value) {
      throw name === 'parent_id' ? forbidden(message) : invalid(message)
    }
  }
  return {
    ...before,
    name: changed(values, 'name', before.name),
    enabled: changed(values, 'enabled', before.enabled),
    description: changed<string | null>(values, 'description', before.description) ?? '',
    tags: changed(values, 'tags', before.tags),
    options: withOptions(before.options, values.options),
    extra: { ...before.extra, ...extraOf(values, OWN) },
  }
}

/** A project goes off only after all below it, and on only below what is on; tokens for it are void. */
async function checkSwitch(
  { tx, revoke }: Change,
  before: ProjectRow,
  after: ProjectRow,
): Promise<void> {
  if (before.enabled === after.enabled) return
  if (after.enabled) {
    const off = (await ancestors(tx, before)).find(({ enabled }) => !enabled)
    if (off === undefined) return
    throw forbidden(`Cannot enable project ${before.id} since it has disabled parents.`)
  }
  if (before.isDomain) return revoke({ domainId: before.id })
  const on = (await descendants(tx, before.id)).find(({ enabled }) => enabled)
  if (on !== undefined) {
    throw forbidden(
      `Cannot disable project ${before.id} since its subtree contains enabled projects.`,
    )
  }
  await revoke({ projectId: before.id })
}

async function deleteProject(call: IdentityCall): Promise<Answer> {
  const { parts } = call.context
  const { id = '' } = call.params
  enforce(call, 'delete_project', await projectTarget(parts.state, id))
  const isDone = await change(parts, async (changing) => {
    const row = await requireProject(changing.tx, id)
    refuseImmutableRemoval(row, kindOf(row))
    if (row.isDomain) return beginRemoval(changing, row, parts)
    const below = await descendants(changing.tx, id)
    if (wantsCascade(call)) {
      await deleteTree(changing, [row, ...below])
      return true
    }
    if (below.length > 0) {
      throw forbidden(
        `Cannot delete the project ${id} since it is not a leaf in the hierarchy. Use the cascade option if you ` +
          'want to delete a whole subtree.',
      )
    }
    await deleteProjectRow(changing, row)
    return true
  })
  if (!isDone) await parts.removals.finish(id)
  return NO_CONTENT
}

function wantsCascade({ query }: IdentityCall): boolean {
  return query.has('cascade') && isTrueText(query.get('cascade') || 'true')
}

/** Deletes a project with all below it, the deepest first. Throws 403, before any is deleted, if one must not be. */
async function deleteTree(changing: Change, rows: readonly ProjectRow[]): Promise<void> {
  for (const row of rows) {
    refuseImmutableRemoval(row, 'project')
    if (row.id !== rows[0]!.id && row.enabled) {
      throw forbidden(
        `Cannot delete project ${rows[0]!.id} since its subtree contains enabled projects.`,
      )
    }
  }
  for (const row of rows.toReversed()) await deleteProjectRow(changing, row)
}

const kindOf = ({ isDomain }: ProjectRow) => (isDomain ? 'domain' : 'project')

async function refuseDuplicate(reader: StateReader, row: ProjectRow): Promise<void> {
  const other = await projects.one(reader, 'name', row.domainId ?? '', row.name)
  if (other === undefined || other.id === row.id) return
  throw conflict(
    'project',
    `it is not permitted to have two projects with the same name in the same domain: ${row.name}`,
  )
}
