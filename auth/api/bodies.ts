import { checkSchema, type Schema } from '../../common/http/schema.ts'
import type { StateValue } from '../../common/state/state-store.ts'
import { expecting, invalid } from '../errors.ts'
import type { Extra } from '../tables/rows.ts'
import type { IdentityCall } from './identity-call.ts'

/** An object of a body, its values unknown but for what a schema has checked. */
export type Values = Readonly<Record<string, unknown>>

export const TEXT: Schema = { type: 'string' }
export const TEXT_OR_NULL: Schema = { type: ['string', 'null'] }
export const FLAG: Schema = { type: 'boolean' }
export const ID: Schema = { type: 'string', minLength: 1, maxLength: 64 }
export const ID_OR_NULL: Schema = { ...ID, type: ['string', 'null'] }
/** A name has something to read in it. */
export const nameSchema = (maxLength: number): Schema => ({
  type: 'string',
  minLength: 1,
  maxLength,
  pattern: '\\S',
})

/** Checks `{name: {…}}` and gives the inner object. Throws 400. */
export function bodyOf(call: IdentityCall, name: string, schema: Schema): Values {
  const value = call.body[name]
  if (value === undefined) throw expecting(name, 'request body')
  checkSchema({ type: 'object', ...schema }, value)
  return value as Values
}

/** The attributes that are not the resource's own: kept and shown as they came. */
export function extraOf(values: Values, own: readonly string[]): Extra {
  const entries = Object.entries(values).filter(([name]) => !own.includes(name))
  return Object.fromEntries(entries) as Readonly<Record<string, StateValue>>
}

/** A change must not name another id than the path does. Throws 400. */
export function refuseOtherId(values: Values, id: string): void {
  if (values.id !== undefined && values.id !== id) throw invalid('Cannot change the ID.')
}

/** The value if it was sent, else what there was. */
export function changed<T>(values: Values, name: string, before: T): T {
  return Object.hasOwn(values, name) ? (values[name] as T) : before
}
