/** Reads `<WebsiteConfiguration>`; S3's errors for what is none. Pure. */
import { utf8Bytes } from '../../../common/utf8.ts'
import { KEY_BYTES_MAX } from '../routing/s3-target.ts'
import { S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import { PROTOCOLS, type Protocol, type RoutingRule, type Website } from './website-rules.ts'

const RULES_MAX = 50
const PARTS = ['IndexDocument', 'ErrorDocument', 'RoutingRules', 'RedirectAllRequestsTo']
const REDIRECT_CODES = [301, 302, 303, 307, 308]
/** A host with its port and, as AWS has it, a path behind it: nothing that could end a header or name a user. */
const HOST = /^[A-Za-z0-9.-]{1,255}(?::\d{1,5})?(?:\/[\w./~-]{0,1024})?$/

export function readWebsite(document: XmlNode): Website {
  if (document.names.some((name) => !PARTS.includes(name))) throw malformedXml()
  const all = document.child('RedirectAllRequestsTo')
  if (all !== undefined) {
    if (document.names.length > 1) {
      throw invalid('RedirectAllRequestsTo cannot be provided in conjunction with other parts.')
    }
    const hostName = hostOf(all)
    if (hostName === undefined) throw invalid('The HostName of RedirectAllRequestsTo is missing')
    return { redirectAll: { hostName, ...given('protocol', protocolOf(all)) } }
  }
  const index = document.child('IndexDocument')?.textOf('Suffix')
  if (index === undefined || index === '' || index.includes('/') || !isKey(index)) {
    throw invalid('The IndexDocument Suffix is not well formed')
  }
  const errorKey = document.child('ErrorDocument')?.textOf('Key')
  if (errorKey === '' || (errorKey !== undefined && !isKey(errorKey))) {
    throw invalid('The ErrorDocument Key is not well formed')
  }
  const rules = document.child('RoutingRules')?.children('RoutingRule') ?? []
  if (rules.length > RULES_MAX) {
    throw new S3Error(
      'InvalidRequest',
      `${rules.length} routing rules provided, the number of routing rules in a website configuration is limited to ${RULES_MAX}.`,
    )
  }
  return { index, ...given('errorKey', errorKey), rules: rules.map(readRule) }
}

function readRule(node: XmlNode): RoutingRule {
  const redirect = node.child('Redirect')
  if (redirect === undefined || redirect.names.length === 0) throw malformedXml()
  const replaceKey = keyOf(redirect, 'ReplaceKeyWith')
  const replacePrefix = keyOf(redirect, 'ReplaceKeyPrefixWith')
  if (replaceKey !== undefined && replacePrefix !== undefined) {
    throw invalid('You can only define ReplaceKeyPrefix or ReplaceKey but not both.')
  }
  return {
    ...readCondition(node.child('Condition')),
    ...given('hostName', hostOf(redirect)),
    ...given('protocol', protocolOf(redirect)),
    ...given('status', redirectCodeOf(redirect)),
    ...given('replaceKey', replaceKey),
    ...given('replacePrefix', replacePrefix),
  }
}

function readCondition(node: XmlNode | undefined): Pick<RoutingRule, 'keyPrefix' | 'errorCode'> {
  if (node === undefined) return {}
  const keyPrefix = keyOf(node, 'KeyPrefixEquals')
  const code = node.textOf('HttpErrorCodeReturnedEquals')?.trim()
  if (keyPrefix === undefined && code === undefined) throw invalid('Condition cannot be empty.')
  if (code !== undefined && !/^[45]\d\d$/.test(code)) {
    throw invalid(
      `The provided HTTP error code (${code.slice(0, 16)}) is not valid. Valid codes are 4XX or 5XX.`,
    )
  }
  return {
    ...given('keyPrefix', keyPrefix),
    ...given('errorCode', code === undefined ? undefined : Number(code)),
  }
}

function redirectCodeOf(node: XmlNode): number | undefined {
  const text = node.textOf('HttpRedirectCode')?.trim()
  if (text === undefined) return undefined
  const code = REDIRECT_CODES.find((known) => String(known) === text)
  if (code !== undefined) return code
  throw invalid(
    `The provided HTTP redirect code (${text.slice(0, 16)}) is not valid. Valid codes are ${REDIRECT_CODES.join(', ')}.`,
  )
}

function protocolOf(node: XmlNode): Protocol | undefined {
  const text = node.textOf('Protocol')?.trim()
  if (text === undefined || text === '') return undefined
  const protocol = PROTOCOLS.find((known) => known === text)
  if (protocol !== undefined) return protocol
  throw invalid(
    'Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.',
  )
}

function hostOf(node: XmlNode): string | undefined {
  const text = node.textOf('HostName')?.trim()
  if (text === undefined || text === '') return undefined
  if (HOST.test(text)) return text
  throw invalid('The HostName is not well formed')
}

function keyOf(node: XmlNode, name: string): string | undefined {
  const text = node.textOf(name)
  if (text === undefined || isKey(text)) return text
  throw invalid(`The ${name} is not well formed`)
}

/** What a key or its beginning can be. */
function isKey(text: string): boolean {
  return utf8Bytes(text) <= KEY_BYTES_MAX && !/[\p{Cc}\p{Cs}]/u.test(text)
}

function given<K extends string, V>(name: K, value: V | undefined): { readonly [name in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [name in K]: V })
}

function invalid(message: string): S3Error {
  return new S3Error('InvalidArgument', message)
}
