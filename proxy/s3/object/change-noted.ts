import { type FoundObject, NULL_VERSION } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import type { S3Place } from '../bucket/find-bucket.ts'
import { type ChangeKind, isRemoval, OUTCOMES } from '../notifications/event-names.ts'
import { notedChange, rulesFor } from '../notifications/note-change.ts'
import { lookForObject } from '../notifications/settle-event.ts'
import type { S3Call } from '../s3-call.ts'
import { changeObject } from './change-object.ts'
import { findForS3 } from './find-for-s3.ts'

/** As changeObject; and buckets that want to tell of it do. */
export async function changeNoted(
  call: S3Call,
  place: S3Place,
  of: { readonly version: string | undefined; readonly kind: ChangeKind },
  change: Parameters<typeof changeObject>[3],
): Promise<FoundObject> {
  const { version } = of
  // Strangers fill no queue: who may not see the object is told so first.
  const enter = () => findForS3(call, place, { version, head: true })
  return noted(call, place, { ...of, enter }, () => changeObject(call, place, version, change))
}

/** Makes a change that does not go through Swift's handlers; and buckets that want to tell of it do. */
export async function noted<T>(
  call: S3Call,
  place: ObjectPlace,
  of: {
    readonly kind: ChangeKind
    /** Set: it is about this very version. */
    readonly version?: string | undefined
    /** Throws what the change would be refused with. */
    readonly enter?: () => unknown
  },
  make: () => Promise<T>,
): Promise<T> {
  const { version, kind } = of
  const { exchange } = call
  const { account, container, object } = place
  const bucket = await exchange.proxy.backend.cachedContainer(account, container)
  const change = { kind, account, bucket: container, key: object, ...(version && { version }) }
  const rules = bucket === null ? [] : rulesFor(bucket, change)
  if (rules.length === 0) return make()
  await of.enter?.()
  const before = await lookForObject(call, place, version)
  return notedChange(exchange, {
    rules,
    change,
    before: before?.read.info.writeId ?? null,
    make,
    async judge() {
      if (isRemoval(kind)) return { status: 'done', name: OUTCOMES[kind][0], object: null }
      const found = await lookForObject(call, place, version)
      if (found === null) return { status: 'unknown' }
      const { version: versionId } = found
      const isNamed = versionId !== undefined && versionId !== NULL_VERSION
      return { status: 'done', name: kind, object: found.read.info, ...(isNamed && { versionId }) }
    },
  })
}
