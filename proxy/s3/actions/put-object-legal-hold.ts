import type { Reply } from '../../reply.ts'
import { LEGAL_HOLD } from '../../swift/versions/object-lock.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { checkLockable } from '../lock/lock-headers.ts'
import { refuseExpiring } from '../lock/refuse-expiring.ts'
import { changeObject } from '../object/change-object.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'
import { malformedXml, parseXml } from '../xml/xml-in.ts'

const DOCUMENT_BYTES_MAX = 64 * 1024

/** PUT ?legal-hold */
export async function putObjectLegalHold(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:PutObjectLegalHold',
    acl: 'none',
    method: 'PUT',
  })
  checkLockable(place)
  const version = versionIdOf(call, place)
  const document = parseXml(await receiveDocument(call, DOCUMENT_BYTES_MAX), 'LegalHold')
  const status = document.textOf('Status')?.trim()
  if (status !== 'ON' && status !== 'OFF') throw malformedXml()
  const found = await changeObject(call, place, version, ({ read: { info } }) => {
    refuseExpiring(info)
    return { [LEGAL_HOLD]: status }
  })
  return emptyReply(200, versionHeaders(place, found))
}
