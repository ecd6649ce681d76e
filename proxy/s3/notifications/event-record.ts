/** An event: as it waits in its queue, and as it is told. Pure. */
import { type ChangeKind, type EventName, isRemoval } from './event-names.ts'

/** A change that somebody is to be told of, noted before it was made. */
export interface PendingEvent {
  readonly ruleId: string
  /** Names of who has set the rule. */
  readonly ruleBy?: readonly string[]
  readonly kind: ChangeKind
  readonly account: string
  readonly bucket: string
  readonly key: string
  /** The very version that it is about; absent: what the name is. */
  readonly version?: string
  /** The write id of what the name was before; null: nothing. */
  readonly before: string | null
  /** When it was about to be made. */
  readonly atMs: number
  readonly by: string
  readonly sourceAddress: string
  readonly requestId: string
  /** What came of it; absent: nobody has said so yet. */
  readonly outcome?: EventOutcome
}

export interface EventOutcome {
  readonly name: EventName
  readonly atMs: number
  readonly bytes?: number
  readonly etag?: string
  readonly versionId?: string
  /** Grows with the changes of a key: ticks of 10 microseconds. */
  readonly ticks: number
}

/** Larger for later changes of the same key, compared as text. */
function sequencerOf(ticks: number): string {
  return ticks.toString(16).toUpperCase().padStart(16, '0')
}

/** The key as events have it: escaped as in a form, but for slashes. */
function eventKey(key: string): string {
  return encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%20', '+')
}

/**
 * Source: docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html; `opaqueData` and `eventId` are RGW's.
 * The id is the same each time the event is told.
 */
export function eventDocument(
  event: PendingEvent & { readonly outcome: EventOutcome },
  of: { readonly id: string; readonly region: string; readonly opaqueData: string },
): string {
  const { outcome, account, bucket, key } = event
  const object = {
    key: eventKey(key),
    ...(outcome.bytes !== undefined && { size: outcome.bytes }),
    ...(outcome.etag !== undefined && { eTag: outcome.etag }),
    ...(outcome.versionId !== undefined && { versionId: outcome.versionId }),
    sequencer: sequencerOf(outcome.ticks),
  }
  const record = {
    eventVersion: versionOf(event.kind),
    eventSource: 'aws:s3',
    awsRegion: of.region,
    eventTime: new Date(outcome.atMs).toISOString(),
    eventName: outcome.name,
    userIdentity: { principalId: event.by },
    requestParameters: { sourceIPAddress: event.sourceAddress },
    responseElements: { 'x-amz-request-id': event.requestId, 'x-amz-id-2': event.requestId },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId: event.ruleId,
      bucket: {
        name: bucket,
        ownerIdentity: { principalId: account },
        arn: `arn:aws:s3:::${bucket}`,
      },
      object,
    },
    eventId: of.id,
    opaqueData: of.opaqueData,
  }
  return JSON.stringify({ Records: [record] })
}

/** Kinds of events came with versions of the format. */
function versionOf(kind: ChangeKind): string {
  const isOld = kind === 'removed' || (!isRemoval(kind) && kind.startsWith('ObjectCreated'))
  return isOld ? '2.2' : '2.3'
}
