/** Who pays for requests to a bucket: its owner, or whoever asks and says so. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'

const PAYERS = ['BucketOwner', 'Requester'] as const
export type Payer = (typeof PAYERS)[number]

const HEADER = 'x-amz-request-payer'

/** Of a bucket that has no setting: its owner. */
export function payerOf(bucket: Pick<ItemInfo, 'meta'>): Payer {
  return bucketSetting(bucket, 'requestPayment') === 'Requester' ? 'Requester' : 'BucketOwner'
}

export function readPayer(document: XmlNode): Payer {
  const text = document.textOf('Payer')?.trim()
  const payer = PAYERS.find((known) => known === text)
  if (payer === undefined) throw malformedXml()
  return payer
}

/**
 * AccessDenied for others than the owner's people who have not said that they pay for it, where they would have to. Who has not
 * signed cannot be charged, whatever he says.
 */
export function checkPayer(
  call: S3Call,
  { account, info }: { readonly account: string; readonly info: ItemInfo },
): void {
  if (payerOf(info) === 'BucketOwner') return
  const { caller } = call.exchange
  if (caller?.account === account) return
  const saysSo = call.header(HEADER)?.trim().toLowerCase() === 'requester'
  if (caller === null || !saysSo) throw new S3Error('AccessDenied')
  call.notes.isCharged = true
}

/** For the answer to who is charged. */
export function chargedHeader({ notes }: S3Call, status: number): string[] {
  return notes.isCharged && status < 400 ? ['x-amz-request-charged', 'requester'] : []
}
