import { type Answer, NO_CONTENT } from '../../common/http/route.ts'
import { randomId } from '../../common/random.ts'
import type { StateReader } from '../../common/state/state-store.ts'
import { conflict, notFound } from '../errors.ts'
import { change } from '../identity-parts.ts'
import { beginRemoval } from '../removal/domain-removal.ts'
import type { ProjectRow } from '../tables/rows.ts'
import { projects } from '../tables/tables.ts'
import {
  bodyOf,
  changed,
  extraOf,
  FLAG,
  nameSchema,
  refuseOtherId,
  TEXT_OR_NULL,
} from './bodies.ts'
import { enforce, type IdentityCall, type IdentityRoute, mayDo } from './identity-call.ts'
import { type LongList, longListAnswer } from './long-lists.ts'
import { TAGS } from './project-tags.ts'
import {
  IMMUTABLE_OPTIONS,
  refuseImmutableChange,
  refuseImmutableRemoval,
  withOptions,
} from './resource-options.ts'
import { createdAnswer, itemAnswer } from './views.ts'

const PROPERTIES = {
  name: nameSchema(64),
  description: TEXT_OR_NULL,
  enabled: FLAG,
  tags: TAGS,
  options: IMMUTABLE_OPTIONS,
}
const OWN = ['id', 'links', ...Object.keys(PROPERTIES)]
const CREATE = { properties: PROPERTIES, required: ['name'] }
const UPDATE = { properties: PROPERTIES, minProperties: 1 }

export const domainRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/domains', handle: createDomain },
  { method: 'GET', path: '/v3/domains', handle: listDomains },
  { method: 'GET', path: '/v3/domains/:id', handle: showDomain },
  { method: 'PATCH', path: '/v3/domains/:id', handle: updateDomain },
  { method: 'DELETE', path: '/v3/domains/:id', handle: deleteDomain },
]

/** A domain as the API shows it. */
export function showDomainRow(row: ProjectRow) {
  const { id, name, description, enabled, tags, options, extra } = row
  return { ...extra, id, name, description, enabled, tags, options }
}

/** The domain; 404 if there is none. */
export async function requireDomain(reader: StateReader, id: string): Promise<ProjectRow> {
  const row = await projects.get(reader, id)
  if (row === undefined || !row.isDomain || row.removing) throw notFound('domain', id)
  return row
}

async function createDomain(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_domain')
  const values = bodyOf(call, 'domain', CREATE)
  const { parts } = call.context
  const row: ProjectRow = {
    id:
      typeof values.explicit_domain_id === 'string'
        ? values.explicit_domain_id
        : randomId(parts.random),
    name: values.name as string,
    isDomain: true,
    domainId: null,
    parentId: null,
    enabled: (values.enabled as boolean | undefined) ?? true,
    description: (values.description as string | null | undefined) ?? '',
    tags: (values.tags as readonly string[] | undefined) ?? [],
    options: withOptions({}, values.options),
    extra: extraOf(values, [...OWN, 'explicit_domain_id']),
  }
  await parts.state.transaction(async (tx) => {
    if ((await projects.get(tx, row.id)) !== undefined) throw duplicateDomain(row)
    await refuseDuplicate(tx, row)
    await projects.put(tx, row)
  })
  return createdAnswer(call, showDomainRow(row), { name: 'domain' })
}

async function listDomains(call: IdentityCall): Promise<Answer> {
  const { parts, caller } = call.context
  const domainId = caller?.credentials.domain_id ?? null
  enforce(call, 'list_domains', { target: { domain: { id: domainId } } })
  const { state } = parts
  const list: LongList<ProjectRow> = {
    pages: (after) =>
      projects.pagesBy(state, 'kind', {
        values: ['domain'],
        ...(after !== undefined && { after }),
      }),
    get: (id) => projects.get(state, id),
    isWanted: ({ id, isDomain, removing }) =>
      isDomain && !removing && mayDo(call, 'list_domains', { target: { domain: { id } } }),
    show: showDomainRow,
  }
  return longListAnswer(call, list, {
    name: 'domains',
    filters: ['id', 'name', 'enabled'],
  })
}

async function showDomain(call: IdentityCall): Promise<Answer> {
  const { id = '' } = call.params
  enforce(call, 'get_domain', { target: { domain: { id } } })
  const row = await requireDomain(call.context.parts.state, id)
  return itemAnswer(call, showDomainRow(row), { name: 'domain' })
}

async function updateDomain(call: IdentityCall): Promise<Answer> {
  const { id = '' } = call.params
  enforce(call, 'update_domain', { target: { domain: { id } } })
  const values = bodyOf(call, 'domain', UPDATE)
  refuseOtherId(values, id)
  const row = await change(call.context.parts, async ({ tx, revoke }) => {
    const before = await requireDomain(tx, id)
    refuseImmutableChange(before, 'domain', values)
    const after: ProjectRow = {
      ...before,
      name: changed(values, 'name', before.name),
      enabled: changed(values, 'enabled', before.enabled),
      description: changed<string | null>(values, 'description', before.description) ?? '',
      tags: changed(values, 'tags', before.tags),
      options: withOptions(before.options, values.options),
      extra: { ...before.extra, ...extraOf(values, OWN) },
    }
    if (after.name !== before.name) await refuseDuplicate(tx, after)
    await projects.put(tx, after)
    if (before.enabled && !after.enabled) await revoke({ domainId: id })
    return after
  })
  return itemAnswer(call, showDomainRow(row), { name: 'domain' })
}

async function deleteDomain(call: IdentityCall): Promise<Answer> {
  const { id = '' } = call.params
  const { parts } = call.context
  enforce(call, 'delete_domain', { target: { domain: { id } } })
  const isDone = await change(parts, async (changing) => {
    const domain = await requireDomain(changing.tx, id)
    refuseImmutableRemoval(domain, 'domain')
    return beginRemoval(changing, domain, parts)
  })
  if (!isDone) await parts.removals.finish(id)
  return NO_CONTENT
}

async function refuseDuplicate(reader: StateReader, row: ProjectRow): Promise<void> {
  const other = await projects.one(reader, 'name', '', row.name)
  if (other !== undefined && other.id !== row.id) throw duplicateDomain(row)
}

function duplicateDomain({ name }: ProjectRow) {
  return conflict('domain', `it is not permitted to have two domains with the same name: ${name}`)
}
