import { ServiceError } from '../../../common/errors.ts'
import { type Soon, soon } from '../../../common/soon.ts'
import { CUSTOMER_KEY_NEEDED } from '../../encryption/sse-record.ts'
import { type Exchange, refusal } from '../../exchange.ts'
import {
  type FoundObject,
  findObject,
  type ObjectView,
  type OpenSegment,
} from '../../swift/found-object.ts'
import { staticView } from '../../swift/large/static-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { closeBody } from '../../swift/object-body.ts'
import { isPlain, plainView, viewObject } from '../../swift/object-view.ts'
import { uploadOf } from '../../swift/own-parts.ts'
import { containerOfVersions } from '../../swift/versions/version-names.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import { type CustomerKey, checkReader } from '../encryption/customer-key.ts'
import { partsPrefix } from '../multipart/upload-names.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { closedWith, findForS3, type Wanted } from './find-for-s3.ts'
import { checkPartNumber } from './part-of-object.ts'

export interface WantedView extends Wanted {
  /** The key that the reader has brought. */
  readonly customer: CustomerKey | undefined
}

/** Writes that may come between the look at an object and its read. */
const ROUNDS_MAX = 4

/** The object or version as its reader sees it, whatever it is put together from; NoSuchKey if there is none. */
export function openObject(call: S3Call, place: S3Place, options: WantedView): Soon<ObjectView> {
  const { customer } = options
  const finding =
    customer === undefined
      ? findWithoutKey(call, place, options)
      : findWithKey(call, place, { ...options, customer })
  return soon(finding, (found) => viewFor(call, found, options))
}

function viewFor(call: S3Call, found: FoundObject, options: WantedView): Soon<ObjectView> {
  const { exchange } = call
  const { customer } = options
  const { read } = found
  try {
    checkPartNumber(call, read.info)
    checkReader(read.info, customer)
  } catch (error) {
    return closedWith(read, error)
  }
  if (isPlain(found)) return plainView(found)
  const view = { head: options.head, depth: 0, isAsked: false }
  if (uploadOf(read.info) === undefined) return viewObject(exchange, found, view)
  return staticView(exchange, found, { ...view, openSegment: ownParts(found, customer) })
}

/** An object that needs a key says so to those alone who may know of it. */
function findWithoutKey(call: S3Call, place: S3Place, wanted: Wanted): Soon<FoundObject> {
  const failed = async (error: unknown): Promise<never> => {
    const isSealed = error instanceof ServiceError && error.code === CUSTOMER_KEY_NEEDED
    if (isSealed) {
      const { read } = await findForS3(call, place, { ...wanted, head: true })
      checkPartNumber(call, read.info)
    }
    throw error
  }
  try {
    const finding = findForS3(call, place, wanted)
    return finding instanceof Promise ? finding.catch(failed) : finding
  } catch (error) {
    return failed(error)
  }
}

/** Looks at the object first: its key must be the one, before a byte of it is read. */
async function findWithKey(
  call: S3Call,
  place: S3Place,
  options: Wanted & { readonly customer: CustomerKey },
): Promise<FoundObject> {
  const { customer, head } = options
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const found = await findForS3(call, place, { version: options.version, head: true })
    checkReader(found.read.info, customer)
    if (head) return found
    const customerKey = customer.key
    const read = await call.exchange.proxy.backend.readObject(found.place, { customerKey })
    if (read === null) continue
    if (read.info.writeId === found.read.info.writeId) return { ...found, read }
    await closeBody(read)
  }
  throw new S3Error('OperationAborted')
}

/** Who may read an object may read its parts, which are nobody else's. */
function ownParts({ place, read }: FoundObject, customer: CustomerKey | undefined): OpenSegment {
  const container = segmentsContainer(containerOfVersions(place.container) ?? place.container)
  const prefix = partsPrefix(uploadOf(read.info)!)
  return async (exchange: Exchange, path, { head }) => {
    const isOwn = path.container === container && path.object?.startsWith(prefix) === true
    if (!isOwn) throw refusal(409, 'the object names parts that are not its own')
    const part: ObjectPlace = {
      account: place.account,
      container,
      object: path.object!,
      policy: place.policy,
      versions: undefined,
    }
    const found = await openPart(exchange, part, { head, customer })
    if (found === null) throw refusal(409, `the part ${path.object} is not there`)
    return { ...found, headers: [] }
  }
}

async function openPart(
  exchange: Exchange,
  part: ObjectPlace,
  options: { readonly head: boolean; readonly customer: CustomerKey | undefined },
): Promise<FoundObject | null> {
  const { head, customer } = options
  if (customer === undefined) return findObject(exchange, part, { head })
  const customerKey = customer.key
  const read = await exchange.proxy.backend.readObject(part, { head, customerKey })
  return read === null ? null : { place: part, read }
}
