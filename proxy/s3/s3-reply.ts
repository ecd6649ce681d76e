import type { Reply } from '../reply.ts'
import { type Checksum, checksumHeader, checksumTag } from './checksum/checksum-algorithm.ts'
import { renderS3Xml, type XmlElement } from './xml/xml-out.ts'

/** A document in S3's namespace. */
export function xmlReply(
  root: string,
  element: XmlElement,
  headers: readonly string[] = [],
): Reply {
  return {
    status: 200,
    headers: ['Content-Type', 'application/xml', ...headers],
    body: renderS3Xml(root, element),
  }
}

/** Nothing but a status. */
export function emptyReply(status: number, headers: readonly string[] = []): Reply {
  return { status, headers: [...headers], body: null }
}

/** Who owns a bucket or an object: its account. */
export function ownerElement(account: string): XmlElement {
  return { ID: account, DisplayName: account }
}

export function checksumHeaders(checksum: Checksum | null | undefined): string[] {
  if (checksum === null || checksum === undefined) return []
  return [checksumHeader(checksum.algorithm), checksum.value, 'x-amz-checksum-type', checksum.type]
}

/** The checksum's elements, to stand within another. */
export function checksumElement(checksum: Checksum | undefined): XmlElement {
  if (checksum === undefined) return {}
  return { [checksumTag(checksum.algorithm)]: checksum.value, ChecksumType: checksum.type }
}
