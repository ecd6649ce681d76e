import { randomId } from '../../../common/random.ts'
import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { setBucketSetting } from '../bucket/bucket-settings.ts'
import { enterBucket } from '../bucket/find-bucket.ts'
import { lifecycleBook } from '../lifecycle/lifecycle-book.ts'
import { encodeLifecycle, TRANSITION_MINIMUMS } from '../lifecycle/lifecycle-rule.ts'
import { readLifecycle } from '../lifecycle/read-lifecycle.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { parseXml } from '../xml/xml-in.ts'

/** Each request has the bucket's settings in memory: a thousand usual rules fit. */
const DOCUMENT_BYTES_MAX = 512 * 1024
const MINIMUM = 'x-amz-transition-default-minimum-object-size'

export async function putBucketLifecycle(call: S3Call): Promise<Reply> {
  const { account } = await enterBucket(call, {
    action: 's3:PutLifecycleConfiguration',
    acl: 'none',
    method: 'PUT',
  })
  const asked = call.header(MINIMUM) ?? TRANSITION_MINIMUMS[0]
  const transitionMinimum = TRANSITION_MINIMUMS.find((known) => known === asked)
  if (transitionMinimum === undefined) {
    throw new S3Error('InvalidArgument', undefined, {
      ArgumentName: MINIMUM,
      ArgumentValue: asked,
    })
  }
  const root = parseXml(await receiveDocument(call, DOCUMENT_BYTES_MAX), 'LifecycleConfiguration')
  const { proxy } = call.exchange
  const rules = readLifecycle(root, {
    newId: () => randomId(proxy.random),
    classes: call.settings.storageClasses,
  })
  const book = lifecycleBook(proxy)
  await book.note(account, call.bucket)
  await setBucketSetting(call, 'lifecycle', encodeLifecycle({ rules, transitionMinimum }))
  await book.note(account, call.bucket)
  return emptyReply(200, [MINIMUM, transitionMinimum])
}
