/** A bucket's object lock: how it is read from a document, shown, and set. */
import {
  encodeObjectLock,
  isRetentionMode,
  OBJECT_LOCK,
  type ObjectLock,
  SEALED,
} from '../../swift/versions/object-lock.ts'
import { segmentsContainer } from '../bucket/bucket-name.ts'
import type { S3Call } from '../s3-call.ts'
import { noSuchBucket, S3Error } from '../s3-error.ts'
import { malformedXml, type XmlNode } from '../xml/xml-in.ts'
import type { XmlElement } from '../xml/xml-out.ts'

const DAYS_MAX = 36_500
const YEARS_MAX = 100

/** Reads an ObjectLockConfiguration; MalformedXML or InvalidRetentionPeriod. */
export function readObjectLock(root: XmlNode): ObjectLock {
  if (root.textOf('ObjectLockEnabled')?.trim() !== 'Enabled') throw malformedXml()
  const rule = root.child('Rule')
  if (rule === undefined) return {}
  const retention = rule.child('DefaultRetention')
  const mode = retention?.textOf('Mode')?.trim()
  const days = retention?.textOf('Days')?.trim()
  const years = retention?.textOf('Years')?.trim()
  if (!isRetentionMode(mode) || (days === undefined) === (years === undefined)) throw malformedXml()
  const unit = days === undefined ? 'Years' : 'Days'
  const text = days ?? years ?? ''
  if (!/^-?\d{1,9}$/.test(text)) throw malformedXml()
  const count = Number(text)
  if (count < 1 || count > (unit === 'Days' ? DAYS_MAX : YEARS_MAX)) {
    throw new S3Error('InvalidRetentionPeriod')
  }
  return { default: { mode, unit, count } }
}

export function objectLockElement({ default: retention }: ObjectLock): XmlElement {
  return {
    ObjectLockEnabled: 'Enabled',
    ...(retention !== undefined && {
      Rule: {
        DefaultRetention: { Mode: retention.mode, [retention.unit]: retention.count },
      },
    }),
  }
}

/** Sets it for the bucket of the request's path. Where its parts lie, clients change nothing from here on. */
export async function setObjectLock(call: S3Call, lock: ObjectLock): Promise<void> {
  const { backend } = call.exchange.proxy
  const { account } = call.path
  const headers = { [OBJECT_LOCK]: encodeObjectLock(lock) }
  const outcome = await backend.postContainer(account, call.bucket, { headers })
  if (outcome.status !== 'done') throw noSuchBucket(call.bucket)
  // There is none yet where no upload was begun: then it is made with the seal.
  await backend.postContainer(account, segmentsContainer(call.bucket), {
    headers: { [SEALED]: 'yes' },
  })
}
