/** Headers that name an account, or a container and an object. */
import { type Exchange, refusal } from '../exchange.ts'
import { unescapeUrl } from '../wire-text.ts'

/** `container/object`, escaped, with or without a slash in front; 412 for anything else. */
export function pathHeader(
  exchange: Exchange,
  name: string,
): { readonly container: string; readonly object: string } {
  const text = unescapeUrl(exchange.header(name.toLowerCase()) ?? '')
  if (text === null || text.includes('\0')) {
    throw refusal(412, `Invalid UTF8 or contains NULL: ${name}`)
  }
  const path = text.startsWith('/') ? text.slice(1) : text
  const slash = path.indexOf('/')
  if (slash < 1 || slash === path.length - 1) {
    throw refusal(412, `${name} header must be of the form <container name>/<object name>`)
  }
  return { container: path.slice(0, slash), object: path.slice(slash + 1) }
}

/** Undefined without the header; 412 for what is no account's name. */
export function accountHeader(exchange: Exchange, name: string): string | undefined {
  const value = exchange.header(name)
  if (value === undefined) return undefined
  const account = unescapeUrl(value)
  if (account === null || account.includes('\0'))
    throw refusal(412, 'Invalid UTF8 or contains NULL')
  if (account === '') throw refusal(412, 'Account name cannot be empty')
  if (account.includes('/')) throw refusal(412, 'Account name cannot contain slashes')
  return account
}
