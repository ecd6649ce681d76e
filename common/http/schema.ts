import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { ServiceError } from '../errors.ts'

/** A JSON schema (draft 7) of a request's body or a part of it. */
export type Schema = Readonly<Record<string, unknown>>

const ajv = new Ajv({ allErrors: false, strict: false, allowUnionTypes: true })
const compiled = new WeakMap<Schema, ValidateFunction>()

/** Throws a 400 that says what is wrong where, in the words that Keystone uses, unless the value fits the schema. */
export function checkSchema(schema: Schema, value: unknown): void {
  let validate = compiled.get(schema)
  if (validate === undefined) {
    validate = ajv.compile(schema)
    compiled.set(schema, validate)
  }
  if (validate(value)) return
  throw new ServiceError('Invalid', explain(validate.errors![0]!), { status: 400 })
}

function explain(error: ErrorObject): string {
  const place = error.instancePath.slice(1)
  if (error.keyword === 'required') {
    const { missingProperty } = error.params as { readonly missingProperty: string }
    return `'${missingProperty}' is a required property`
  }
  if (error.keyword === 'additionalProperties') {
    const { additionalProperty } = error.params as { readonly additionalProperty: string }
    return `Additional properties are not allowed ('${additionalProperty}' was unexpected)`
  }
  const what = error.message ?? 'is not valid'
  return place === ''
    ? `The request body ${what}`
    : `Invalid input for field '${place}': it ${what}`
}
