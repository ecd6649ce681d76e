/** What users, groups and roles have in common. */

import type { IamResult } from '../../common/iam.ts'
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { type IamEntityRow, type IamKind, iamEntities } from '../tables/iam.ts'
import { entityArn } from './arns.ts'
import { authorise, type IamCall, resourceTags, valueOrNone } from './iam-call.ts'
import {
  deleteConflict,
  entityExists,
  limitExceeded,
  noSuchEntity,
  validationError,
} from './iam-error.ts'
import { entityId } from './iam-ids.ts'
import {
  ANY_TEXT,
  ARN,
  GROUP_NAME,
  optional,
  optionalNumber,
  PATH,
  PATH_PREFIX,
  type ParamForm,
  ROLE_NAME,
  required,
  tagsOf,
  USER_NAME,
} from './iam-params.ts'
import { boundaryOf, knownPolicy, type SharedPolicy } from './shared-policies.ts'

type NamedKind = Exclude<IamKind, 'account'>

interface KindForm {
  readonly param: string
  readonly form: ParamForm
  /** In an account, as AWS has it. */
  readonly countMax: number
}

export const KINDS: Readonly<Record<NamedKind, KindForm>> = {
  user: { param: 'UserName', form: USER_NAME, countMax: 5000 },
  group: { param: 'GroupName', form: GROUP_NAME, countMax: 300 },
  role: { param: 'RoleName', form: ROLE_NAME, countMax: 1000 },
}

/** The entity that the call names, if the caller may do this to it. Throws NoSuchEntity. */
export async function namedEntity(
  call: IamCall,
  kind: NamedKind,
  reader: StateReader = call.parts.state,
): Promise<IamEntityRow> {
  const { param, form } = KINDS[kind]
  const name = required(call.params, param, form)
  return entityNamed(call, { kind, name }, reader)
}

/** The same by another parameter's value. */
export async function entityNamed(
  call: IamCall,
  { kind, name }: { readonly kind: NamedKind; readonly name: string },
  reader: StateReader = call.parts.state,
): Promise<IamEntityRow> {
  const { projectId } = call.caller
  const row = await iamEntities.get(reader, projectId, kind, name.toLowerCase())
  const place = row ?? { projectId, kind, path: '/', name }
  authoriseEntity(call, place, row, row && (await boundaryOf(call.parts, row, reader)))
  if (row === undefined) throw noSuchEntity(`The ${kind} with name ${name}`)
  return row
}

export function authoriseEntity(
  call: IamCall,
  place: Pick<IamEntityRow, 'projectId' | 'kind' | 'path' | 'name'>,
  row?: IamEntityRow,
  boundary?: SharedPolicy,
): void {
  const { action, params } = call
  // A parameter counts where the action takes it: elsewhere anybody could add it to please a condition.
  const named = NAMES_POLICY.test(action) ? params.PolicyArn : undefined
  const bounds = SETS_BOUNDARY.test(action) ? params.PermissionsBoundary : boundary?.arn
  authorise(call, {
    projectId: place.projectId,
    arn: entityArn(call.parts, place),
    keys: (name) => {
      if (name === 'iam:policyarn') return valueOrNone(named)
      if (name === 'iam:permissionsboundary') return valueOrNone(bounds)
      return row === undefined ? undefined : resourceTags(row.tags, name)
    },
  })
}

const NAMES_POLICY = /^(?:Attach|Detach)(?:User|Group|Role)Policy$/
const SETS_BOUNDARY = /^(?:Create(?:User|Role)|Put(?:User|Role)PermissionsBoundary)$/

/** One that has nothing yet but what is given. */
export function newEntity(
  { parts }: Pick<IamCall, 'parts'>,
  given: Pick<IamEntityRow, 'projectId' | 'kind' | 'name'> & Partial<IamEntityRow>,
): IamEntityRow {
  return {
    nameKey: given.name.toLowerCase(),
    path: '/',
    id: entityId(parts.random, given.kind),
    createdMs: parts.clock.nowMs(),
    tags: [],
    inline: {},
    attached: [],
    groups: [],
    role: null,
    ...given,
  }
}

export async function createEntity(
  call: IamCall,
  kind: NamedKind,
  role: IamEntityRow['role'] = null,
): Promise<IamEntityRow> {
  const { parts, params, caller } = call
  const { projectId } = caller
  const { param, form, countMax } = KINDS[kind]
  const name = required(params, param, form)
  const row = newEntity(call, {
    projectId,
    kind,
    name,
    path: optional(params, 'Path', PATH) ?? '/',
    tags: tagsOf(params),
    role,
  })
  authoriseEntity(call, row)
  const bounded = kind === 'group' ? undefined : optional(params, 'PermissionsBoundary', ARN)
  return parts.state.transaction(async (tx) => {
    const there = await iamEntities.get(tx, projectId, kind, row.nameKey)
    if (there !== undefined) throw entityExists(`${titleOf(kind)} with name ${name}`)
    const prefix = [projectId, kind]
    const others = await iamEntities.list(tx, { prefix, limit: countMax })
    if (others.length >= countMax) throw limitExceeded(`${kind}s of an account: ${countMax}`)
    const made = bounded === undefined ? row : await boundedBy(call, { row, arn: bounded }, tx)
    await iamEntities.put(tx, made)
    return made
  })
}

/** The entity, bounded from now on by the policy of its account. Throws NoSuchEntity. */
export async function boundedBy(
  { parts }: IamCall,
  { row, arn }: { readonly row: IamEntityRow; readonly arn: string },
  tx: StateTransaction,
): Promise<IamEntityRow> {
  const { ref } = await knownPolicy(parts, { projectId: row.projectId, arn }, tx)
  return { ...row, boundary: ref }
}

/** Changes the entity that the call names, as it is at that moment. */
export async function changeEntity(
  call: IamCall,
  kind: NamedKind,
  changed: (row: IamEntityRow) => IamEntityRow,
): Promise<IamEntityRow> {
  return call.parts.state.transaction(async (tx) => {
    const row = changed(await namedEntity(call, kind, tx))
    await iamEntities.put(tx, row)
    return row
  })
}

/** A new name or path (`NewUserName`, `NewPath`). The id stays, and with it keys and memberships. */
export async function renameEntity(call: IamCall, kind: 'user' | 'group'): Promise<IamEntityRow> {
  const { parts, params } = call
  const { param, form } = KINDS[kind]
  const name = optional(params, `New${param}`, form)
  const path = optional(params, 'NewPath', PATH)
  return parts.state.transaction(async (tx) => {
    const row = await namedEntity(call, kind, tx)
    const next = {
      ...row,
      ...(name !== undefined && { name, nameKey: name.toLowerCase() }),
      ...(path !== undefined && { path }),
    }
    authoriseEntity(call, next, row, await boundaryOf(parts, row, tx))
    if (next.nameKey !== row.nameKey) {
      const there = await iamEntities.get(tx, row.projectId, kind, next.nameKey)
      if (there !== undefined) throw entityExists(`${titleOf(kind)} with name ${next.name}`)
      await iamEntities.delete(tx, row.projectId, kind, row.nameKey)
    }
    await iamEntities.put(tx, next)
    return next
  })
}

/** Deletes it. Throws DeleteConflict while something hangs on it. */
export async function deleteEntity(
  call: IamCall,
  kind: NamedKind,
  conflictOf: (tx: StateTransaction, row: IamEntityRow) => Promise<string | null>,
): Promise<void> {
  await call.parts.state.transaction(async (tx) => {
    const row = await namedEntity(call, kind, tx)
    const conflict = policyConflict(row) ?? (await conflictOf(tx, row))
    if (conflict !== null) throw deleteConflict(conflict)
    await iamEntities.delete(tx, row.projectId, kind, row.nameKey)
  })
}

function policyConflict({ inline, attached }: IamEntityRow): string | null {
  if (Object.keys(inline).length > 0) return 'must delete policies first'
  return attached.length > 0 ? 'must detach all policies first' : null
}

/** Rows read at once. */
const PAGE_ROWS = 200

/** Those of the account whose path begins as asked, by name, a page of them. */
export async function listEntities(
  call: IamCall,
  kind: NamedKind,
  show: (row: IamEntityRow) => IamResult,
  element: string,
): Promise<IamResult> {
  const { parts, params, caller } = call
  const { projectId } = caller
  const prefix = optional(params, 'PathPrefix', PATH_PREFIX) ?? '/'
  authoriseEntity(call, { projectId, kind, path: prefix, name: '' })
  const count = optionalNumber(params, 'MaxItems', { min: 1, max: 1000 }) ?? 100
  const found: IamEntityRow[] = []
  let after = markerName(params.Marker)
  while (found.length <= count) {
    const rows = await iamEntities.list(parts.state, {
      prefix: [projectId, kind],
      ...(after !== undefined && { after: [projectId, kind, after] }),
      limit: PAGE_ROWS,
    })
    found.push(...rows.filter(({ path }) => path.startsWith(prefix)))
    after = rows.at(-1)?.nameKey
    if (rows.length < PAGE_ROWS) break
  }
  return pageOf(found, { count, element, show, keyOf: ({ nameKey }) => nameKey })
}

/** A page of what is at hand, in order, with where the next one begins. */
export function pageOf<Row>(
  rows: readonly Row[],
  page: {
    readonly count: number
    readonly element: string
    readonly show: (row: Row) => IamResult | string
    readonly keyOf: (row: Row) => string
  },
): IamResult {
  const shown = rows.slice(0, page.count)
  const isTruncated = rows.length > shown.length
  return {
    [page.element]: shown.map(page.show),
    IsTruncated: isTruncated,
    ...(isTruncated && { Marker: Buffer.from(page.keyOf(shown.at(-1)!)).toString('base64url') }),
  }
}

/** The name that the page before ended with. */
export function markerName(marker: string | undefined): string | undefined {
  if (marker === undefined) return undefined
  const name = Buffer.from(marker, 'base64url').toString()
  if (!ANY_TEXT.pattern.test(name)) throw validationError("Value at 'Marker' is none of ours.")
  return name
}

/** The page that is asked for of what is at hand in any order. */
export function pageOfSorted<Row>(
  { params }: Pick<IamCall, 'params'>,
  rows: readonly Row[],
  page: Omit<Parameters<typeof pageOf<Row>>[1], 'count'>,
): IamResult {
  const { keyOf } = page
  const count = optionalNumber(params, 'MaxItems', { min: 1, max: 1000 }) ?? 100
  const after = markerName(params.Marker)
  const rest = after === undefined ? rows : rows.filter((row) => keyOf(row) > after)
  const sorted = [...rest].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  return pageOf(sorted, { ...page, count })
}

/** Elements of the names only, for answers that list names. */
export function pageOfNames(call: IamCall, names: readonly string[], element: string): IamResult {
  return pageOfSorted(call, names, { element, show: (name) => name, keyOf: (name) => name })
}

/** As answers show it. */
export function showEntity(call: IamCall, row: IamEntityRow): IamResult {
  const title = titleOf(row.kind)
  return {
    Path: row.path,
    [`${title}Name`]: row.name,
    [`${title}Id`]: row.id,
    Arn: entityArn(call.parts, row),
    CreateDate: new Date(row.createdMs).toISOString(),
  }
}

/** Nothing where there are none. */
export function showTags(row: Pick<IamEntityRow, 'tags'>): IamResult {
  return row.tags.length === 0 ? {} : { Tags: tagList(row) }
}

/** Nothing where nothing bounds it. */
export async function showBoundary({ parts }: IamCall, row: IamEntityRow): Promise<IamResult> {
  const boundary = await boundaryOf(parts, row)
  if (boundary === undefined) return {}
  const PermissionsBoundaryType = 'PermissionsBoundaryPolicy'
  return { PermissionsBoundary: { PermissionsBoundaryType, PermissionsBoundaryArn: boundary.arn } }
}

export function tagList({ tags }: Pick<IamEntityRow, 'tags'>): readonly IamResult[] {
  return tags.map(({ key, value }) => ({ Key: key, Value: value }))
}

function titleOf(kind: IamKind): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1)
}
