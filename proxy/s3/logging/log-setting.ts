/** Where a bucket's access log goes: what is kept of it, and what its objects are called. Pure. */
import { granteeElement } from '../access/acl-document.ts'
import type { AclGrant } from '../access/s3-acl.ts'
import type { XmlElement } from '../xml/xml-out.ts'

export const DATE_SOURCES = ['EventTime', 'DeliveryTime'] as const
/** `Simple`: all below the prefix; else in folders by account, region, bucket and that day. */
export type LogKeyFormat = 'Simple' | (typeof DATE_SOURCES)[number]

export interface LogSetting {
  /** Of the bucket that the log goes to, when it was set: who makes the name anew gets nothing. */
  readonly account: string
  readonly bucket: string
  readonly prefix: string
  readonly format: LogKeyFormat
  /** Of the log's objects, besides their owner, who is the bucket's. */
  readonly grants: readonly AclGrant[]
}

/** The bucket that a log is about. */
export interface LogSource {
  readonly account: string
  readonly bucket: string
}

export function encodeLogSetting(setting: LogSetting): string {
  return JSON.stringify(setting)
}

/** What encodeLogSetting made. */
export function decodeLogSetting(text: string): LogSetting {
  return JSON.parse(text) as LogSetting
}

export function logSettingElement({ bucket, prefix, format, grants }: LogSetting): XmlElement {
  return {
    LoggingEnabled: {
      TargetBucket: bucket,
      ...(grants.length > 0 && { TargetGrants: { Grant: grants.map(grantElement) } }),
      TargetPrefix: prefix,
      TargetObjectKeyFormat:
        format === 'Simple'
          ? { SimplePrefix: '' }
          : { PartitionedPrefix: { PartitionDateSource: format } },
    },
  }
}

function grantElement({ grantee, permission }: AclGrant): XmlElement {
  return { Grantee: granteeElement(grantee), Permission: permission }
}

/** Longer prefixes would leave no room for what follows them: accounts, buckets and regions have up to 64 characters. */
export const PREFIX_BYTES_MAX = 512

/** What an object of the log is called. `eventMs` is when what it tells of began; the whole of it is of one day where that counts. */
export function logObjectKey(
  { prefix, format }: LogSetting,
  of: {
    readonly source: LogSource
    readonly region: string
    readonly eventMs: number
    readonly nowMs: number
    /** Letters and digits that no other has. */
    readonly unique: string
  },
): string {
  const { source, region, eventMs, nowMs, unique } = of
  if (format === 'Simple') return `${prefix}${clock(nowMs).join('-')}-${unique}`
  const time = format === 'EventTime' ? [...day(eventMs), '00', '00', '00'] : clock(nowMs)
  const folder = [source.account, region, source.bucket, ...time.slice(0, 3)].join('/')
  return `${prefix}${folder}/${time.join('-')}-${unique}`
}

/** The day (UTC) whose records share an object; empty where objects may hold several. */
export function dayOf({ format }: LogSetting, eventMs: number): string {
  return format === 'EventTime' ? day(eventMs).join('-') : ''
}

function day(atMs: number): string[] {
  return clock(atMs).slice(0, 3)
}

/** Year, month, day, hours, minutes, seconds. */
function clock(atMs: number): string[] {
  return new Date(atMs).toISOString().slice(0, 19).split(/[-T:]/)
}
