import type { Schema } from '../../common/http/schema.ts'
import { forbidden } from '../errors.ts'
import type { Extra } from '../tables/rows.ts'
import type { Values } from './bodies.ts'

/** The options that domains, projects and roles have. */
export const IMMUTABLE_OPTIONS: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: { immutable: { type: ['boolean', 'null'] } },
}

/** A resource that may have been made immutable, so that nothing is deleted by mistake. */
export interface WithOptions {
  readonly id: string
  readonly options: Extra
}

/** Options with changes; null takes one away. */
export function withOptions(before: Extra, changes: unknown = {}): Extra {
  const entries = Object.entries({ ...before, ...(changes as Extra) })
  return Object.fromEntries(entries.filter(([, value]) => value !== null))
}

/** Throws 403 for a change of an immutable resource, but for the one that makes it mutable and does nothing else. */
export function refuseImmutableChange(row: WithOptions, kind: string, values: Values): void {
  if (row.options.immutable !== true) return
  const { immutable } = (values.options ?? {}) as { readonly immutable?: boolean | null }
  const frees = immutable === false || immutable === null
  if (frees && Object.keys(values).length === 1) return
  throw immutableResource('update', row, kind)
}

/** Throws 403 for an immutable resource. */
export function refuseImmutableRemoval(row: WithOptions, kind: string): void {
  if (row.options.immutable === true) throw immutableResource('delete', row, kind)
}

function immutableResource(verb: string, { id }: WithOptions, kind: string) {
  return forbidden(
    `Unable to ${verb} immutable ${kind} resource: ${id}. Set resource option "immutable" to false first.`,
  )
}
