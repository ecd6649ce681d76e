import type { IamRequest } from '../../common/iam.ts'
import type { IamTag } from '../tables/iam.ts'
import { validationError } from './iam-error.ts'

/** What a parameter may be. */
export interface ParamForm {
  readonly pattern: RegExp
  readonly what: string
}

const NAME_CHARACTERS = 'letters, digits and any of +=,.@_-'
export const USER_NAME: ParamForm = nameForm(64)
export const ROLE_NAME: ParamForm = nameForm(64)
export const GROUP_NAME: ParamForm = nameForm(128)
export const POLICY_NAME: ParamForm = nameForm(128)
export const SESSION_NAME: ParamForm = {
  pattern: /^[\w+=,.@-]{2,64}$/,
  what: `2 to 64 of ${NAME_CHARACTERS}`,
}
export const PATH: ParamForm = {
  pattern: /^\/(?:[!-~]{1,510}\/)?$/,
  what: 'a path that begins and ends with a slash',
}
export const PATH_PREFIX: ParamForm = {
  pattern: /^\/[!-~]{0,511}$/,
  what: 'the beginning of a path',
}
export const ARN: ParamForm = { pattern: /^[ -~]{20,2048}$/, what: 'an ARN' }
export const DOCUMENT: ParamForm = {
  pattern: /^[\t\n\r -ÿ]{1,131072}$/,
  what: 'a policy document',
}
export const DESCRIPTION: ParamForm = {
  pattern: /^[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]{0,1000}$/u,
  what: 'up to 1,000 letters, digits and signs',
}
export const VERSION_ID: ParamForm = {
  pattern: /^v[1-9]\d{0,8}(?:\.[A-Za-z0-9-]{0,64})?$/,
  what: "the id of a version, like 'v1'",
}
export const ANY_TEXT: ParamForm = { pattern: /^.{1,2048}$/s, what: 'a text' }

type Params = IamRequest['params']

/** Throws ValidationError where it is missing or not as it has to be. */
export function required(params: Params, name: string, form: ParamForm): string {
  const value = optional(params, name, form)
  if (value === undefined) throw validationError(`Value at '${name}' must not be null.`)
  return value
}

export function optional(params: Params, name: string, form: ParamForm): string | undefined {
  const value = params[name]
  if (value === undefined) return undefined
  if (!form.pattern.test(value)) throw validationError(`Value at '${name}' must be ${form.what}.`)
  return value
}

export function optionalNumber(
  params: Params,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  const value = params[name]
  if (value === undefined) return undefined
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  throw validationError(`Value at '${name}' must be a number from ${min} to ${max}.`)
}

/** False if it is not there. */
export function optionalFlag(params: Params, name: string): boolean {
  return optional(params, name, { pattern: /^(?:true|false)$/, what: 'true or false' }) === 'true'
}

/** `ClientIDList.member.1`, `.2` and so on. */
export function list(params: Params, name: string): readonly string[] {
  const values: string[] = []
  for (;;) {
    const value = params[`${name}.member.${values.length + 1}`]
    if (value === undefined) return values
    values.push(value)
  }
}

const TAGS_MAX = 50

/** `Tags.member.1.Key` with `.Value`. A key may come with several values, as conditions can ask for them. */
export function tagsOf(params: Params, name = 'Tags'): readonly IamTag[] {
  const tags: IamTag[] = []
  for (;;) {
    const place = `${name}.member.${tags.length + 1}`
    const key = params[`${place}.Key`]
    if (key === undefined) return tags
    const { [`${place}.Value`]: value = '' } = params
    if (!/^.{1,128}$/s.test(key) || value.length > 256 || tags.length >= TAGS_MAX)
      throw validationError(`Value at '${name}' must be up to ${TAGS_MAX} tags.`)
    tags.push({ key, value })
  }
}

function nameForm(max: number): ParamForm {
  return {
    pattern: new RegExp(`^[\\w+=,.@-]{1,${max}}$`),
    what: `1 to ${max} of ${NAME_CHARACTERS}`,
  }
}
