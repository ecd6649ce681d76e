/**
 * Targets that are whole URLs (`GET http://host/path`): a client that takes the store for its proxy sends them, and every server
 * has to take them (RFC 9112 3.2.2). What the URL names is what is asked for, whatever the Host header says. Pure.
 */

/** Host and port as RFC 3986 has them, without a user: `http://a@b/` is a trap for readers, and refused (RFC 9110 4.2.4). */
const ABSOLUTE =
  /^https?:\/\/((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::\d*)?)([/?].*)?$/i

/** What a request line is about: its target from the path on, and the host in place of the Host header's. */
export interface NamedTarget {
  readonly url: string
  readonly host: string
}

/** Whether the target is no path: a whole URL, or what is none at all. */
export function isNoPath(url: string): boolean {
  return url.charCodeAt(0) !== 0x2f && url !== '*'
}

/** Takes a whole URL apart; null for any other target that is no path. */
export function readAbsoluteTarget(url: string): NamedTarget | null {
  const found = ABSOLUTE.exec(url)
  if (found === null) return null
  const [, host, rest = '/'] = found
  return { host: host!, url: rest.startsWith('/') ? rest : `/${rest}` }
}
