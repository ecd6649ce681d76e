import { type Answer, NO_CONTENT, ok } from '../../common/http/route.ts'
import type { StateValue } from '../../common/state/state-store.ts'
import type { DomainConfigRow } from '../directories/directory-tables.ts'
import { optionsOf, putOptions } from '../directories/domain-config-rows.ts'
import { DOMAIN_OPTIONS, domainOption, refusedValue } from '../directories/domain-options.ts'
import { expecting, forbidden, notFoundWhere } from '../errors.ts'
import type { Extra } from '../tables/rows.ts'
import { requireDomain } from './domains.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'

/** By group and option. */
type Options = DomainConfigRow['options']

const PLACES = ['', '/:group', '/:group/:option']
const SECURITY = 'security_compliance'
/** What of the security settings anybody may read. */
const SECURITY_OPTIONS = ['password_regex', 'password_regex_description']

export const domainConfigRoutes: readonly IdentityRoute[] = [
  { method: 'PUT', path: '/v3/domains/:id/config', handle: putConfig },
  ...PLACES.flatMap((place): readonly IdentityRoute[] => [
    { method: 'GET', path: `/v3/domains/:id/config${place}`, handle: showConfig },
    { method: 'PATCH', path: `/v3/domains/:id/config${place}`, handle: updateConfig },
    { method: 'DELETE', path: `/v3/domains/:id/config${place}`, handle: deleteConfig },
    { method: 'GET', path: `/v3/domains/config${place}/default`, handle: showDefault },
  ]),
]

async function putConfig(call: IdentityCall): Promise<Answer> {
  enforce(call, 'create_domain_config')
  const { parts } = call.context
  const { state, directories } = parts
  const { id = '' } = call.params
  await requireDomain(state, id)
  const options = checkedOptions(configOf(call))
  const existed = await state.transaction(async (tx) => {
    await requireDomain(tx, id)
    const before = await optionsOf(parts, tx, id)
    await putOptions(parts, tx, { domainId: id, options })
    return Object.keys(before).length > 0
  })
  directories.forget()
  return { status: existed ? 200 : 201, body: { config: shown(options) } }
}

async function showConfig(call: IdentityCall): Promise<Answer> {
  const { id = '', group, option } = call.params
  if (group === SECURITY) return showSecurity(call)
  enforce(call, 'get_domain_config')
  const { parts } = call.context
  const { state } = parts
  await requireDomain(state, id)
  checkNames(group, option)
  const found = part(shown(await optionsOf(parts, state, id)), group, option)
  if (found === undefined) throw noConfig(call)
  return ok({ config: found })
}

async function updateConfig(call: IdentityCall): Promise<Answer> {
  enforce(call, 'update_domain_config')
  const { parts } = call.context
  const { state, directories } = parts
  const { id = '', group, option } = call.params
  await requireDomain(state, id)
  const changes = changesOf(call)
  const options = await state.transaction(async (tx) => {
    const before = await optionsOf(parts, tx, id)
    if (group !== undefined && part(before, group, option) === undefined) throw noConfig(call)
    const after = merged(before, changes)
    await putOptions(parts, tx, { domainId: id, options: after })
    return after
  })
  directories.forget()
  return ok({ config: shown(options) })
}

async function deleteConfig(call: IdentityCall): Promise<Answer> {
  enforce(call, 'delete_domain_config')
  const { parts } = call.context
  const { state, directories } = parts
  const { id = '', group, option } = call.params
  await requireDomain(state, id)
  checkNames(group, option)
  await state.transaction(async (tx) => {
    const before = await optionsOf(parts, tx, id)
    if (group !== undefined && part(before, group, option) === undefined) throw noConfig(call)
    const after = without(before, group, option)
    await putOptions(parts, tx, { domainId: id, options: after })
  })
  directories.forget()
  return NO_CONTENT
}

function showDefault(call: IdentityCall): Answer {
  enforce(call, 'get_domain_config_default')
  const { group, option } = call.params
  checkNames(group, option)
  if (option !== undefined && domainOption(group!, option)!.sensitive) {
    throw unsupported(`Reading the default for option ${option} in group ${group} is not supported`)
  }
  const defaults = Object.fromEntries(
    Object.entries(DOMAIN_OPTIONS).map(([name, options]) => [
      name,
      Object.fromEntries(
        Object.entries(options)
          .filter(([, { sensitive }]) => sensitive !== true)
          .map(([key, { byDefault }]) => [key, byDefault]),
      ),
    ]),
  ) as Options
  return ok({ config: part(defaults, group, option) })
}

/** The password rules of the Default domain, which all users may read. */
function showSecurity(call: IdentityCall): Answer {
  enforce(call, 'get_security_compliance_domain_config')
  const { settings } = call.context.parts
  const { id, option } = call.params
  if (id !== settings.defaultDomainId) {
    throw unsupported(
      'Reading security compliance information for any domain other than the default domain is not allowed or supported',
    )
  }
  if (option !== undefined && !SECURITY_OPTIONS.includes(option)) {
    throw unsupported(
      'Reading security compliance values other than password_regex and password_regex_description is not allowed',
    )
  }
  const values: Extra = {
    password_regex: settings.security.passwordRegex,
    password_regex_description: settings.security.passwordRegexDescription,
  }
  return ok({
    config: option === undefined ? { [SECURITY]: values } : { [option]: values[option] },
  })
}

function configOf(call: IdentityCall): unknown {
  if (call.body.config === undefined) throw expecting('config', 'request body')
  return call.body.config
}

/** What a PATCH changes, by group, checked to be within what its path names. */
function changesOf(call: IdentityCall): Options {
  const { group, option } = call.params
  checkNames(group, option)
  const config = configOf(call)
  const changes = checkedOptions(option === undefined ? config : { [group!]: config })
  if (group === undefined) return changes
  const [first, ...others] = Object.keys(changes)
  if (others.length > 0) {
    throw unsupported(
      `Trying to update group ${group}, so that, and only that, group must be specified in the config`,
    )
  }
  if (first !== group) {
    throw unsupported(
      `request to update group ${group}, but config provided contains group ${first} instead`,
    )
  }
  const names = Object.keys(changes[group]!)
  if (option !== undefined && (names.length !== 1 || names[0] !== option)) {
    throw unsupported(
      `Trying to update option ${option} in group ${group}, so that, and only that, option must be specified ` +
        'in the config',
    )
  }
  return changes
}

/** The options of a body. Throws 403 for what no domain may have of its own, as Keystone does. */
function checkedOptions(config: unknown): Options {
  if (!isObject(config) || Object.keys(config).length === 0) {
    throw unsupported('No options specified')
  }
  for (const [group, options] of Object.entries(config)) {
    if (!isObject(options) || Object.keys(options).length === 0) {
      throw unsupported(
        `The value of group ${group} specified in the config should be a dictionary of options`,
      )
    }
    checkNames(group)
    for (const [name, value] of Object.entries(options)) {
      checkNames(group, name)
      const refused = refusedValue(group, name, value)
      if (refused !== null) throw unsupported(`Option ${name} in group ${group}: ${refused}`)
    }
  }
  return config as Options
}

function checkNames(group?: string, option?: string): void {
  if (group === undefined) return
  if (!Object.hasOwn(DOMAIN_OPTIONS, group)) {
    throw unsupported(`Group ${group} is not supported for domain specific configurations`)
  }
  if (option !== undefined && domainOption(group, option) === undefined) {
    throw unsupported(
      `Option ${option} in group ${group} is not supported for domain specific configurations`,
    )
  }
}

/** Without what is never shown, and without groups that have nothing else. */
function shown(options: Options): Options {
  const groups = Object.entries(options).map(([group, values]) => {
    const visible = Object.entries(values).filter(([name]) => !domainOption(group, name)?.sensitive)
    return [group, Object.fromEntries(visible)] as const
  })
  return Object.fromEntries(groups.filter(([, values]) => Object.keys(values).length > 0))
}

/** All, a group under its name, or an option under its; undefined if it is not there. */
function part(
  options: Options,
  group?: string,
  option?: string,
): Options | Readonly<Record<string, StateValue | Extra>> | undefined {
  if (group === undefined) return Object.keys(options).length === 0 ? undefined : options
  const values = options[group]
  if (values === undefined) return undefined
  if (option === undefined) return { [group]: values }
  return Object.hasOwn(values, option) ? { [option]: values[option]! } : undefined
}

function merged(before: Options, changes: Options): Options {
  const groups = Object.entries(changes).map(([group, values]) => [
    group,
    { ...before[group], ...values },
  ])
  return { ...before, ...Object.fromEntries(groups) }
}

function without(before: Options, group?: string, option?: string): Options {
  if (group === undefined) return {}
  const { [group]: values = {}, ...others } = before
  if (option === undefined) return others
  const { [option]: _gone, ...rest } = values
  return Object.keys(rest).length === 0 ? others : { ...others, [group]: rest }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unsupported(reason: string) {
  return forbidden(`Invalid domain specific configuration: ${reason}.`)
}

function noConfig({ params }: IdentityCall) {
  const { id = '', group, option } = params
  const what =
    option !== undefined
      ? `option ${option} in group ${group}`
      : group === undefined
        ? 'any options'
        : `group ${group}`
  return notFoundWhere(what, `domain configuration for domain ${id}`)
}
