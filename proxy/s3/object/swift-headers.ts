/**
 * The three headers of Swift's own that Swift's s3api lets through on PutObject: they are about the object that the request
 * writes, and nothing else. They count only if whoever signed the request has said so (docs/decisions/s3-door.md).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { ServiceError } from '../../../common/errors.ts'
import { deleteAtOf } from '../../swift/expiry.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

const LET_THROUGH = ['x-delete-at', 'x-delete-after', 'x-robots-tag'] as const

/** What of Swift's a PutObject says of its object. */
export interface SwiftWords {
  /** For the Swift API. */
  readonly headers: IncomingHttpHeaders
  /** The second at which the object vanishes, in ten digits. */
  readonly deleteAt: string | undefined
}

const NOTHING: SwiftWords = { headers: {}, deleteAt: undefined }

/** InvalidArgument for a time that is none, or is over. */
export function swiftWordsOf(call: S3Call): SwiftWords {
  const given = LET_THROUGH.filter((name) => isSaid(call, name))
  if (given.length === 0) return NOTHING
  const headers = Object.fromEntries(given.map((name) => [name, call.exchange.header(name)]))
  return { headers, deleteAt: deleteAtFrom(call, headers) }
}

/**
 * Version 2 signs no such header, nor the body: who could add one on the way could as well write something else. But to a
 * presigned URL its user adds what he likes, and what the signer has not signed is not the signer's.
 */
function isSaid({ exchange, signature, form }: S3Call, name: string): boolean {
  if (signature === null || form !== null || exchange.header(name) === undefined) return false
  return signature.headers?.includes(name) ?? !signature.isPresigned
}

function deleteAtFrom({ exchange }: S3Call, headers: IncomingHttpHeaders): string | undefined {
  const header = (name: string) => headers[name] as string | undefined
  try {
    return deleteAtOf({ proxy: exchange.proxy, header })
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    const name = header('x-delete-after') === undefined ? 'X-Delete-At' : 'X-Delete-After'
    throw new S3Error('InvalidArgument', error.message, {
      ArgumentName: name,
      ArgumentValue: header(name.toLowerCase()) ?? '',
    })
  }
}
