/** Locks of objects in requests' and answers' headers. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import {
  encodeRetention,
  isRetentionMode,
  LEGAL_HOLD,
  RETENTION,
  retentionOf,
} from '../../swift/versions/object-lock.ts'
import { S3_VERSION_RULES, type VersionRules } from '../../swift/versions/version-rules.ts'
import type { ObjectHead } from '../object/object-headers.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { s3TimeOfMs } from '../s3-time.ts'
import { parseIsoTime } from './iso-time.ts'

/** The head with the lock that the request asks for; InvalidRequest where objects cannot be locked. */
export function withLock(call: S3Call, place: ObjectPlace, head: ObjectHead): ObjectHead {
  const mode = call.header('x-amz-object-lock-mode')
  const until = call.header('x-amz-object-lock-retain-until-date')
  const hold = call.header('x-amz-object-lock-legal-hold')
  if (mode === undefined && until === undefined && hold === undefined) return head
  checkLockable(place)
  const headers: Record<string, string> = { ...head.headers }
  if (mode !== undefined || until !== undefined) {
    if (mode === undefined || until === undefined) {
      throw new S3Error(
        'InvalidArgument',
        'x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied',
      )
    }
    if (!isRetentionMode(mode)) throw new S3Error('InvalidArgument', 'Unknown wormMode directive.')
    headers[RETENTION] = encodeRetention({ mode, untilMs: futureMs(call, until) })
  }
  if (hold !== undefined) {
    if (hold !== 'ON' && hold !== 'OFF') {
      throw new S3Error('InvalidArgument', 'Legal Hold must be either of ON or OFF')
    }
    headers[LEGAL_HOLD] = hold
  }
  return { ...head, headers }
}

/** What is answered of an object's lock. */
export function lockHeaders(info: ItemInfo): string[] {
  const retention = retentionOf(info)
  const hold = info.meta.headers[LEGAL_HOLD]
  return [
    ...(retention === undefined
      ? []
      : [
          'x-amz-object-lock-mode',
          retention.mode,
          'x-amz-object-lock-retain-until-date',
          s3TimeOfMs(retention.untilMs),
        ]),
    ...(hold === undefined ? [] : ['x-amz-object-lock-legal-hold', hold]),
  ]
}

/** InvalidRequest unless the bucket has object lock. */
export function checkLockable({ versions }: ObjectPlace): void {
  if (versions?.kind === 'objects' && versions.lock !== undefined) return
  throw new S3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration')
}

/** Whether the request asks to pass over governance mode, which takes a right of its own. */
export function wantsBypass(call: S3Call): boolean {
  return call.header('x-amz-bypass-governance-retention')?.toLowerCase() === 'true'
}

/** Who was let in with the wish to pass over governance mode may. */
export function versionRulesOf(call: S3Call): VersionRules {
  return wantsBypass(call) ? { ...S3_VERSION_RULES, bypassesGovernance: true } : S3_VERSION_RULES
}

/** A time to come, in milliseconds; InvalidArgument for anything else. */
export function futureMs(call: S3Call, text: string): number {
  const untilMs = parseIsoTime(text)
  if (untilMs === null) {
    throw new S3Error(
      'InvalidArgument',
      'The retain until date must be provided in ISO 8601 format',
    )
  }
  if (untilMs <= call.exchange.proxy.clock.nowMs()) {
    throw new S3Error('InvalidArgument', 'The retain until date must be in the future!')
  }
  return untilMs
}
