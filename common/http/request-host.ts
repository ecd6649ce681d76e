/**
 * Stands in URLs for the name or address by which the client has reached this machine: who listens on all addresses
 * cannot know it. It has the form of the other places in URLs of a catalog.
 */
export const REQUEST_HOST = '$(request_host)s'

/** The name or address of a `Host` header without the port, `[::1]` in its brackets; null for what names no host. */
export function requestHost(header: string): string | null {
  return /^([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.exec(header)?.[1] ?? null
}
