/**
 * XML that clients send: parsed with entities off, bounded in depth, and refused where it declares anything. Everything
 * is text; which of it means what, its reader says.
 */
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { decodeUtf8 } from '../../wire-text.ts'
import { S3Error } from '../s3-error.ts'

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@_',
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  trimValues: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  isArray: (_name, _path, _isLeaf, isAttribute) => !isAttribute,
})

const DEPTH_MAX = 16
const REFERENCE = /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g
const NAMED: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
}

/** An element of a document: its children by name, and its text. */
export class XmlNode {
  readonly #value: unknown

  constructor(value: unknown) {
    this.#value = value
  }

  /** All children of that name, in their order. */
  children(name: string): readonly XmlNode[] {
    const list = this.#fields()[name]
    return Array.isArray(list) ? list.map((item) => new XmlNode(item)) : []
  }

  /** The only child of that name; undefined if there is none. MalformedXML if there are several. */
  child(name: string): XmlNode | undefined {
    const [first, second] = this.children(name)
    if (second !== undefined) throw malformedXml()
    return first
  }

  /** Names of the children, without attributes and text. */
  get names(): readonly string[] {
    return Object.keys(this.#fields()).filter((name) => name !== '#text' && !name.startsWith('@_'))
  }

  /** The element's own text. */
  get text(): string {
    const text = typeof this.#value === 'string' ? this.#value : this.#fields()['#text']
    return typeof text === 'string' ? unescapeReferences(text) : ''
  }

  /** The text of the only child of that name. */
  textOf(name: string): string | undefined {
    return this.child(name)?.text
  }

  #fields(): Readonly<Record<string, unknown>> {
    return typeof this.#value === 'object' && this.#value !== null
      ? (this.#value as Record<string, unknown>)
      : {}
  }
}

/** The document's root, which must have that name; MalformedXML for anything else. */
export function parseXml(body: Uint8Array, root: string): XmlNode {
  const text = decodeUtf8(body)
  // Comments and CDATA are nobody's need here; what begins like a declaration is not looked at any closer.
  if (text === null || /<!(?!--)/.test(text) || depthOf(text) > DEPTH_MAX) throw malformedXml()
  if (XMLValidator.validate(text) !== true) throw malformedXml()
  let parsed: unknown
  try {
    parsed = parser.parse(text)
  } catch {
    throw malformedXml()
  }
  const node = new XmlNode(parsed).child(root)
  if (node === undefined) throw malformedXml()
  return node
}

export function malformedXml(): S3Error {
  return new S3Error('MalformedXML')
}

/** How deep elements stand within each other, at most: counted, not parsed, and no character is looked at twice. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (let start = text.indexOf('<'); start >= 0; ) {
    const end = text.indexOf('>', start)
    if (end < 0) break
    const kind = text[start + 1]
    if (kind === '/') depth--
    else if (kind !== '!' && kind !== '?' && text[end - 1] !== '/')
      deepest = Math.max(deepest, ++depth)
    start = text.indexOf('<', end)
  }
  return deepest
}

function unescapeReferences(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(REFERENCE, (whole, name?: string, decimal?: string, hex?: string) => {
    if (name !== undefined) return NAMED[name]!
    const code = decimal === undefined ? Number.parseInt(hex!, 16) : Number(decimal)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}
