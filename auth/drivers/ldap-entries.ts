import type { Entry } from 'ldapts'
import type { DirectoryGroup, DirectoryUser } from './identity-driver.ts'
import type { EnabledRule, LdapEntries, LdapGroups, LdapUsers } from './ldap-settings.ts'

/** Names of attributes to ask for. */
export function userAttributes(users: LdapUsers): string[] {
  const { id, name, description, mail, defaultProject, enabled } = users
  return named([id, name, description, mail, defaultProject, enabled.attribute])
}

export function groupAttributes(groups: LdapGroups): string[] {
  return named([groups.id, groups.name, groups.description])
}

/** The user of an entry; null if it has no id or no name, as Keystone leaves those out. */
export function userOfEntry(entry: Entry, users: LdapUsers): DirectoryUser | null {
  const common = commonOf(entry, users)
  if (common === null) return null
  const email = firstValue(entry, users.mail)
  const defaultProjectId = firstValue(entry, users.defaultProject)
  return {
    ...common,
    enabled: isEnabled(firstValue(entry, users.enabled.attribute), users.enabled),
    ...(email !== null && { email }),
    ...(defaultProjectId !== null && { defaultProjectId }),
  }
}

/** The group of an entry; null if it has no id or no name. */
export function groupOfEntry(entry: Entry, groups: LdapGroups): DirectoryGroup | null {
  return commonOf(entry, groups)
}

/** All values of an attribute. */
export function valuesOf(entry: Entry, attribute: string): readonly string[] {
  if (attribute === '') return []
  const wanted = attribute.toLowerCase()
  const name = Object.keys(entry).find((one) => one.toLowerCase() === wanted)
  if (name === undefined || name === 'dn') return []
  return [entry[name]!].flat().map((value) => value.toString())
}

/** Whether the attribute's value lets its user sign in, as Keystone reads it. */
export function isEnabled(value: string | null, rule: EnabledRule): boolean {
  if (rule.attribute === '') return true
  const found = value ?? rule.byDefault
  if (rule.mask !== 0) {
    const bits = Number.parseInt(found, 10)
    return Number.isNaN(bits) ? false : (bits & rule.mask) !== rule.mask
  }
  return (found.toLowerCase() === 'true') !== rule.invert
}

function commonOf(entry: Entry, entries: LdapEntries) {
  const localId = idOf(entry, entries.id)
  const name = firstValue(entry, entries.name)
  if (localId === null || name === null || name.trim() === '') return null
  const description = firstValue(entry, entries.description)
  return { localId, name, ...(description !== null && { description }) }
}

/** Of several values of an id the one in the DN counts. */
function idOf(entry: Entry, attribute: string): string | null {
  const values = valuesOf(entry, attribute)
  if (values.length < 2) return values[0] || null
  const head = `${attribute.toLowerCase()}=`
  const dn = entry.dn.toLowerCase()
  return values.find((value) => dn.startsWith(`${head}${value.toLowerCase()},`)) ?? null
}

function firstValue(entry: Entry, attribute: string): string | null {
  return valuesOf(entry, attribute)[0] ?? null
}

function named(names: readonly string[]): string[] {
  return [...new Set(names.filter((name) => name !== ''))]
}
