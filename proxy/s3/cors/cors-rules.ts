/** Which scripts of other origins may ask what of a bucket: a CORS configuration, read, kept and judged by. Pure. */
import { S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { XmlElement } from '../xml/xml-out.ts'

export interface CorsRule {
  readonly id?: string
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  readonly headers: readonly string[]
  readonly exposed: readonly string[]
  readonly maxAgeSeconds?: number
}

/** What a browser asks for. */
export interface CorsQuestion {
  readonly origin: string
  readonly method: string
  /** Headers that the script would send; of a preflight. */
  readonly headers: readonly string[]
}

const RULES_MAX = 100
const ID_CHARS_MAX = 255
const METHODS = ['GET', 'PUT', 'HEAD', 'POST', 'DELETE']
const ELEMENTS = new Set([
  'ID',
  'AllowedOrigin',
  'AllowedMethod',
  'AllowedHeader',
  'ExposeHeader',
  'MaxAgeSeconds',
])

/** Reads `<CORSConfiguration>`; S3's errors for what is none. */
export function readCors(root: XmlNode): readonly CorsRule[] {
  const nodes = root.children('CORSRule')
  if (nodes.length === 0 || root.names.some((name) => name !== 'CORSRule')) throw malformedXml()
  if (nodes.length > RULES_MAX) {
    throw new S3Error('InvalidRequest', `The CORS configuration has more than ${RULES_MAX} rules.`)
  }
  return nodes.map(readRule)
}

export function encodeCors(rules: readonly CorsRule[]): string {
  return JSON.stringify(rules)
}

/** What encodeCors made. */
export function decodeCors(text: string): readonly CorsRule[] {
  return JSON.parse(text) as readonly CorsRule[]
}

export function corsElement(rules: readonly CorsRule[]): XmlElement {
  return {
    CORSRule: rules.map(({ id, origins, methods, headers, exposed, maxAgeSeconds }) => ({
      ...(id !== undefined && { ID: id }),
      AllowedHeader: headers,
      AllowedMethod: methods,
      AllowedOrigin: origins,
      ExposeHeader: exposed,
      ...(maxAgeSeconds !== undefined && { MaxAgeSeconds: maxAgeSeconds }),
    })),
  }
}

/** The first rule that allows it; undefined: none does. */
export function ruleFor(rules: readonly CorsRule[], asked: CorsQuestion): CorsRule | undefined {
  return rules.find(
    ({ origins, methods, headers }) =>
      methods.includes(asked.method) &&
      origins.some((pattern) => fits(pattern, asked.origin)) &&
      asked.headers.every((name) => headers.some((pattern) => fits(pattern.toLowerCase(), name))),
  )
}

/** The answer's headers by the rule that allows it. */
export function corsHeaders(rule: CorsRule, asked: CorsQuestion): string[] {
  const isForAll = rule.origins.includes('*')
  const out = [
    'Access-Control-Allow-Origin',
    isForAll ? '*' : asked.origin,
    'Access-Control-Allow-Methods',
    rule.methods.join(', '),
  ]
  if (asked.headers.length > 0) out.push('Access-Control-Allow-Headers', asked.headers.join(', '))
  if (rule.exposed.length > 0) out.push('Access-Control-Expose-Headers', rule.exposed.join(', '))
  if (rule.maxAgeSeconds !== undefined) {
    out.push('Access-Control-Max-Age', String(rule.maxAgeSeconds))
  }
  if (!isForAll) out.push('Access-Control-Allow-Credentials', 'true')
  return out
}

function readRule(node: XmlNode): CorsRule {
  if (node.names.some((name) => !ELEMENTS.has(name))) throw malformedXml()
  const texts = (name: string) => node.children(name).map(({ text }) => text.trim())
  const [origins, methods] = [texts('AllowedOrigin'), texts('AllowedMethod')]
  const [headers, exposed] = [texts('AllowedHeader'), texts('ExposeHeader')]
  const [id, maxAge] = [node.textOf('ID')?.trim(), node.textOf('MaxAgeSeconds')?.trim()]
  if (origins.length === 0 || methods.length === 0) throw malformedXml()
  if (id !== undefined && id.length > ID_CHARS_MAX) throw new S3Error('InvalidArgument')
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge)) throw malformedXml()
  const other = methods.find((method) => !METHODS.includes(method))
  if (other !== undefined) {
    throw new S3Error(
      'InvalidRequest',
      `Found unsupported HTTP method in CORS config. Unsupported method is ${other}`,
    )
  }
  for (const origin of origins) checkPattern('AllowedOrigin', origin)
  for (const header of headers) checkPattern('AllowedHeader', header)
  for (const header of exposed) {
    if (header.includes('*')) {
      throw new S3Error(
        'InvalidRequest',
        `ExposeHeader "${header}" contains wildcard. We currently do not support wildcard for ExposeHeader.`,
      )
    }
    checkPattern('ExposeHeader', header)
  }
  return {
    ...(id !== undefined && id !== '' && { id }),
    origins,
    methods,
    headers,
    exposed,
    ...(maxAge !== undefined && { maxAgeSeconds: Number(maxAge) }),
  }
}

/** It will be sent as a header, and holds one wildcard at most. */
function checkPattern(element: string, text: string): void {
  if (!/^[\x21-\x7e]+$/.test(text)) throw malformedXml()
  if (text.indexOf('*') === text.lastIndexOf('*')) return
  throw new S3Error('InvalidRequest', `${element} "${text}" can not have more than one wildcard.`)
}

/** Whether the text fits a pattern with at most one wildcard. */
function fits(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*')
  if (star < 0) return pattern === text
  const [start, end] = [pattern.slice(0, star), pattern.slice(star + 1)]
  return text.length >= start.length + end.length && text.startsWith(start) && text.endsWith(end)
}
