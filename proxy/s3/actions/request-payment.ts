/** GET and PUT ?requestPayment. */
import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { payerOf, readPayer } from '../payment/request-payment.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply, xmlReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 4 * 1024

export async function getRequestPayment(call: S3Call): Promise<Reply> {
  const use = { action: 's3:GetBucketRequestPayment', acl: 'none', method: 'GET' } as const
  const { info } = await enterBucket(call, use)
  return xmlReply('RequestPaymentConfiguration', { Payer: payerOf(info) })
}

export async function putRequestPayment(call: S3Call): Promise<Reply> {
  const use = { action: 's3:PutBucketRequestPayment', acl: 'none', method: 'PUT' } as const
  await enterBucket(call, use)
  const body = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const payer = readPayer(parseXml(body, 'RequestPaymentConfiguration'))
  await setBucketSetting(call, 'requestPayment', payer === 'Requester' ? payer : '')
  return emptyReply(200)
}
