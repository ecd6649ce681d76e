import type { StateReader } from '../../common/state/state-store.ts'
import { forbidden } from '../errors.ts'
import {
  type LimitedResource,
  type LimitRow,
  limits,
  registeredLimits,
  resourceKey,
} from '../tables/limits.ts'
import { projects } from '../tables/tables.ts'

/** How limits of projects and of what is around them go together. */
export const LIMIT_MODELS = {
  flat: 'Limit enforcement and validation does not take project hierarchy into consideration.',
  strict_two_level: 'This model requires project hierarchy never exceeds a depth of two',
} as const
export type LimitModel = keyof typeof LIMIT_MODELS

/** Projects below each other that the model allows, the first included. */
export function depthMaxOf(settings: {
  readonly limitModel: LimitModel
  readonly projectDepthMax: number
}): number {
  return settings.limitModel === 'flat' ? settings.projectDepthMax : 1
}

/**
 * Throws 403 if the limits, with those in state that they do not replace, break the model: by the strict one no project
 * may have more than its domain.
 */
export async function checkModel(
  reader: StateReader,
  changed: readonly LimitRow[],
  model: LimitModel,
): Promise<void> {
  if (model === 'flat') return
  for (const row of changed) {
    if (row.projectId !== null) await checkProject(reader, row, changed)
    else await checkDomain(reader, row, changed)
  }
}

async function checkProject(
  reader: StateReader,
  row: LimitRow,
  changed: readonly LimitRow[],
): Promise<void> {
  const project = await projects.get(reader, row.projectId!)
  const domain = { ...row, projectId: null, domainId: project?.domainId ?? '' }
  const above =
    changed.find((other) => isFor(other, domain))?.resourceLimit ??
    (await storedLimit(reader, domain)) ??
    (await defaultLimit(reader, row))
  if (above !== undefined && isMore(row.resourceLimit, above)) throw breaksModel(row)
}

async function checkDomain(
  reader: StateReader,
  row: LimitRow,
  changed: readonly LimitRow[],
): Promise<void> {
  for (const { id } of await projects.by(reader, 'domain', row.domainId!)) {
    const place = { ...row, projectId: id, domainId: null }
    const below =
      changed.find((other) => isFor(other, place))?.resourceLimit ??
      (await storedLimit(reader, place))
    if (below !== undefined && isMore(below, row.resourceLimit)) throw breaksModel(row)
  }
}

function isFor(row: LimitRow, place: LimitRow): boolean {
  return (
    row.projectId === place.projectId &&
    row.domainId === place.domainId &&
    resourceKey(row).join(' ') === resourceKey(place).join(' ')
  )
}

async function storedLimit(reader: StateReader, place: LimitRow): Promise<number | undefined> {
  const { projectId, domainId } = place
  const key = [...resourceKey(place), projectId ?? '', domainId ?? '']
  return (await limits.one(reader, 'resource', ...key))?.resourceLimit
}

async function defaultLimit(
  reader: StateReader,
  resource: LimitedResource,
): Promise<number | undefined> {
  return (await registeredLimits.one(reader, 'resource', ...resourceKey(resource)))?.defaultLimit
}

/** -1 is more than any. */
function isMore(a: number, b: number): boolean {
  return b !== -1 && (a === -1 || a > b)
}

function breaksModel(row: LimitRow) {
  const { projectId, domainId, resourceName, resourceLimit, serviceId, regionId } = row
  const place = projectId === null ? `domain_id: ${domainId}` : `project_id: ${projectId}`
  return forbidden(
    `Invalid resource limit: The resource limit (${place}, resource_name: ${resourceName}, resource_limit: ` +
      `${resourceLimit}, service_id: ${serviceId}, region_id: ${regionId}) doesn't satisfy current hierarchy model.`,
  )
}
