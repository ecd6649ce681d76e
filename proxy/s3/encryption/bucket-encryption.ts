/** A bucket's default encryption: its XML, and how it is kept. Pure. */
import { S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { XmlElement } from '../xml/xml-out.ts'
import type { StoreEncryption } from './encryption-choice.ts'

const MODES = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const

/** Reads a ServerSideEncryptionConfiguration: one rule, with a default in it. */
export function readDefault(document: XmlNode): StoreEncryption {
  const [rule, more] = document.children('Rule')
  const apply = rule?.child('ApplyServerSideEncryptionByDefault')
  if (rule === undefined || more !== undefined || apply === undefined) throw malformedXml()
  const text = apply.textOf('SSEAlgorithm')
  const mode = MODES.find((known) => known === text)
  if (mode === undefined) throw malformedXml()
  const keyId = apply.textOf('KMSMasterKeyID')
  if (keyId !== undefined && mode === 'AES256') {
    throw new S3Error(
      'InvalidArgument',
      'a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse',
    )
  }
  const bucketKey = rule.textOf('BucketKeyEnabled')?.toLowerCase() === 'true'
  return { mode, ...(keyId !== undefined && { keyId }), bucketKey }
}

export function encodeDefault(encryption: StoreEncryption): string {
  return JSON.stringify(encryption)
}

export function decodeDefault(text: string): StoreEncryption {
  return JSON.parse(text) as StoreEncryption
}

export function defaultElement({ mode, keyId, bucketKey }: StoreEncryption): XmlElement {
  return {
    Rule: {
      ApplyServerSideEncryptionByDefault: { SSEAlgorithm: mode, KMSMasterKeyID: keyId },
      BucketKeyEnabled: bucketKey === true,
    },
  }
}
