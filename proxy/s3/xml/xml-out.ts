import { XMLBuilder } from 'fast-xml-parser'

/** What an element holds: text, elements by name (several of one name as a list), attributes with `@_` before the name. */
export type XmlValue = string | number | boolean | XmlElement | readonly XmlValue[] | undefined
export interface XmlElement {
  readonly [name: string]: XmlValue
}

export const S3_NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'

const builder = new XMLBuilder({
  attributeNamePrefix: '@_',
  ignoreAttributes: false,
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
})

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

/** The document with one element at its root; undefined values are left out. */
export function renderXml(root: string, element: XmlElement): string {
  const text = builder.build({ [root]: element })
  // Names may hold control characters, which XML 1.0 cannot; S3 writes them as references, and clients read that.
  return DECLARATION + text.replace(CONTROLS, (char) => `&#x${char.charCodeAt(0).toString(16)};`)
}

/** The same in S3's namespace. */
export function renderS3Xml(root: string, element: XmlElement): string {
  return renderXml(root, { '@_xmlns': S3_NAMESPACE, ...element })
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const CONTROLS = /[\0-\x08\x0b-\x1f]/g
