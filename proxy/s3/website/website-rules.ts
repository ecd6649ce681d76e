/** How a bucket is a web site: what is kept of it, and where a request is sent by it. Pure. */
import { escapePath } from '../../wire-text.ts'
import type { XmlElement } from '../xml/xml-out.ts'

export const PROTOCOLS = ['http', 'https'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export interface RoutingRule {
  readonly keyPrefix?: string
  /** What the answer would have been without the rule. */
  readonly errorCode?: number
  readonly hostName?: string
  readonly protocol?: Protocol
  readonly status?: number
  readonly replaceKey?: string
  readonly replacePrefix?: string
}

/** Either all is sent elsewhere, or there is an index. */
export type Website =
  | { readonly redirectAll: { readonly hostName: string; readonly protocol?: Protocol } }
  | {
      /** What stands for a folder. */
      readonly index: string
      readonly errorKey?: string
      readonly rules: readonly RoutingRule[]
    }

/** Where a request is sent instead: what is undefined stays as it was asked. */
export interface WebsiteRedirect {
  readonly status: number
  readonly protocol: Protocol | undefined
  readonly hostName: string | undefined
  /** Escaped for a URL, without the slash in front. */
  readonly path: string
}

export function encodeWebsite(website: Website): string {
  return JSON.stringify(website)
}

/** What encodeWebsite made. */
export function decodeWebsite(text: string): Website {
  return JSON.parse(text) as Website
}

export function websiteElement(website: Website): XmlElement {
  if ('redirectAll' in website) {
    const { hostName: HostName, protocol: Protocol } = website.redirectAll
    return { RedirectAllRequestsTo: { HostName, Protocol } }
  }
  const { index, errorKey, rules } = website
  return {
    IndexDocument: { Suffix: index },
    ...(errorKey !== undefined && { ErrorDocument: { Key: errorKey } }),
    ...(rules.length > 0 && { RoutingRules: { RoutingRule: rules.map(ruleElement) } }),
  }
}

/**
 * The redirection of a request by the rules, the first that fits: those without an error code before anything is looked for, the
 * others when the answer would be that error. Null: there is none.
 */
export function redirectOf(
  website: Website,
  asked: { readonly key: string; readonly errorCode?: number },
): WebsiteRedirect | null {
  const { key, errorCode } = asked
  if ('redirectAll' in website) {
    const { hostName, protocol } = website.redirectAll
    return { status: 301, protocol, hostName, path: escapePath(key) }
  }
  const rule = website.rules.find(
    (other) => other.errorCode === errorCode && key.startsWith(other.keyPrefix ?? ''),
  )
  if (rule === undefined) return null
  const { status = 301, protocol, hostName } = rule
  return { status, protocol, hostName, path: pathBy(rule, key) }
}

function pathBy({ keyPrefix = '', replaceKey, replacePrefix }: RoutingRule, key: string): string {
  if (replaceKey !== undefined) return escapeTarget(replaceKey)
  if (replacePrefix === undefined) return escapePath(key)
  return escapeTarget(replacePrefix) + escapePath(key.slice(keyPrefix.length))
}

/** What the site's owner writes may have a query or a fragment, and escapes of its own; only what no URL can hold is escaped. */
function escapeTarget(text: string): string {
  return text.replace(/[^\x21-\x7e]+/gu, (other) => encodeURIComponent(other))
}

function ruleElement(rule: RoutingRule): XmlElement {
  const { keyPrefix, errorCode } = rule
  return {
    ...((keyPrefix !== undefined || errorCode !== undefined) && {
      Condition: { KeyPrefixEquals: keyPrefix, HttpErrorCodeReturnedEquals: errorCode },
    }),
    Redirect: {
      Protocol: rule.protocol,
      HostName: rule.hostName,
      ReplaceKeyPrefixWith: rule.replacePrefix,
      ReplaceKeyWith: rule.replaceKey,
      HttpRedirectCode: rule.status,
    },
  }
}
