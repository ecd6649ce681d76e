import type { Reply } from '../../reply.ts'
import {
  encodeRetention,
  isRetentionMode,
  mayRetain,
  RETENTION,
  type Retention,
  retentionOf,
} from '../../swift/versions/object-lock.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checkLockable, futureMs, versionRulesOf } from '../lock/lock-headers.ts'
import { refuseExpiring } from '../lock/refuse-expiring.ts'
import { changeObject } from '../object/change-object.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { malformedXml, parseXml, type XmlNode } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

/** PUT ?retention: longer at any time; shorter, or in another mode, where that may be bypassed. */
export async function putObjectRetention(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:PutObjectRetention',
    acl: 'none',
    method: 'PUT',
  })
  checkLockable(place)
  const version = versionIdOf(call, place)
  const document = await receiveDocument(call, DOCUMENT_BYTES_MAX)
  const next = readRetention(call, parseXml(document, 'Retention'))
  const { bypassesGovernance } = versionRulesOf(call)
  const found = await changeObject(call, place, version, ({ read: { info } }) => {
    const old = retentionOf(info)
    const nowMs = call.exchange.proxy.clock.nowMs()
    if (!mayRetain({ old, next }, { nowMs, bypassesGovernance })) {
      throw new S3Error('AccessDenied', 'Access Denied because object protected by object lock.')
    }
    refuseExpiring(info)
    return { [RETENTION]: next === undefined ? '' : encodeRetention(next) }
  })
  return emptyReply(200, versionHeaders(place, found))
}

/** Undefined: the retention is to be taken away. */
function readRetention(call: S3Call, root: XmlNode): Retention | undefined {
  const mode = root.textOf('Mode')?.trim()
  const until = root.textOf('RetainUntilDate')?.trim()
  if (mode === undefined && until === undefined) return undefined
  if (!isRetentionMode(mode) || until === undefined) throw malformedXml()
  return { mode, untilMs: futureMs(call, until) }
}
