/** Where events may be sent: users say it, and may not reach by it what only this server may. */
import { isIP } from 'node:net'
import { ServiceError } from '../../../common/errors.ts'
import { isPublicAddress } from '../../../common/http/public-address.ts'

/** Hosts that are excepted, as in URLs, with or without their port. */
export type AllowedHosts = readonly string[]

/** Whether the operator has allowed the host by its name. */
export function isAllowedHost({ host, hostname }: URL, allowed: AllowedHosts): boolean {
  return allowed.includes(host) || allowed.includes(hostname)
}

/**
 * Throws for an address that is not on the internet. Names are not looked up here: what they lead to is judged when the connection
 * is made (`publicLookup`), so that they cannot lead elsewhere meanwhile.
 */
export function checkPushAddress(endpoint: URL, allowed: AllowedHosts): void {
  if (isAllowedHost(endpoint, allowed)) return
  // `127.1` and the like are brought into their usual form by URLs of http alone.
  const url = `http://${endpoint.hostname}`
  const hostname = URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : null
  if (hostname !== null && (isIP(hostname) === 0 || isPublicAddress(hostname))) return
  throw new ServiceError(
    'InvalidParameter',
    'Invalid parameter: push-endpoint is no host of the internet',
    { status: 400 },
  )
}
