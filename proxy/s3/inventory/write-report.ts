/**
 * One report of a bucket: packed files of lines, and behind them the manifest that names them. What is begun anew overwrites what it has
 * written before, for the names come from when the round began.
 */
import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { bucketRules } from '../access/bucket-rules.ts'
import { judgeService } from '../access/service-permission.ts'
import { bucketLines } from '../lifecycle/bucket-lines.ts'
import { type OwnCalls, ownCall } from '../lifecycle/own-call.ts'
import { putOwnObject } from '../object/put-own-object.ts'
import { S3Call } from '../s3-call.ts'
import { inventoryLine, inventorySchema, isInventoried } from './inventory-lines.ts'
import type { InventoryRule, InventoryTarget } from './inventory-rule.ts'

const SERVICE = 's3.amazonaws.com'
const pack = promisify(gzip)

/** Unpacked, of one file. */
const FILE_CHARS_MAX = 16 * 1024 * 1024
/** Lines between two words to whoever asks whether to go on. */
const LINES_BETWEEN = 1000

export interface ReportRound {
  readonly account: string
  readonly bucket: string
  readonly startedMs: number
  /** Asked again and again; false: somebody else is at it, or the process ends. */
  readonly mayGoOn: () => Promise<boolean>
}

/** `refused`: the target takes no such report (any more), or is not there. */
export type ReportEnd = 'done' | 'refused' | 'left'

interface ReportFile {
  readonly key: string
  readonly size: number
  readonly MD5checksum: string
}

export async function writeReport(
  calls: OwnCalls,
  rule: InventoryRule,
  round: ReportRound,
): Promise<ReportEnd> {
  const report = new Report({ ...calls, by: 'inventory' }, rule, round)
  return report.write()
}

class Report {
  readonly #calls: OwnCalls
  readonly #rule: InventoryRule
  readonly #round: ReportRound
  readonly #folder: string
  readonly #files: ReportFile[] = []

  constructor(calls: OwnCalls, rule: InventoryRule, round: ReportRound) {
    this.#calls = calls
    this.#rule = rule
    this.#round = round
    const { prefix } = rule.target
    const above = prefix === '' ? '' : `${prefix.replace(/\/$/, '')}/`
    this.#folder = `${above}${round.bucket}/${rule.id}/`
  }

  async write(): Promise<ReportEnd> {
    if (!(await this.#isTaken())) return 'refused'
    const { account, bucket } = this.#round
    const call = ownCall(this.#calls, { account, bucket })
    const at = { account, container: bucket }
    let lines: string[] = []
    let chars = 0
    let seen = 0
    for await (const line of bucketLines(call, at, { after: '', prefix: this.#rule.prefix })) {
      if (++seen % LINES_BETWEEN === 0 && !(await this.#round.mayGoOn())) return 'left'
      if (!isInventoried(this.#rule, line)) continue
      const text = inventoryLine(this.#rule, { account, bucket }, line)
      lines.push(text)
      chars += text.length
      if (chars < FILE_CHARS_MAX) continue
      await this.#putFile(lines.join(''))
      lines = []
      chars = 0
    }
    if (lines.length > 0) await this.#putFile(lines.join(''))
    if (!(await this.#round.mayGoOn())) return 'left'
    await this.#putManifest()
    return 'done'
  }

  /** The owner's own bucket takes it unless its policy says no; others have to say yes. */
  async #isTaken(): Promise<boolean> {
    const { target } = this.#rule
    const info = await this.#calls.proxy.backend.readContainer(target.account, target.bucket)
    if (info === null) return false
    const judged = judgeService(bucketRules(target.account, info).policy, {
      service: SERVICE,
      resource: `arn:aws:s3:::${target.bucket}/${this.#folder}`,
      source: this.#round,
      keys: { 's3:x-amz-acl': 'bucket-owner-full-control' },
    })
    return judged === null ? target.account === this.#round.account : judged === 'allow'
  }

  async #putFile(text: string): Promise<void> {
    const body = await pack(text)
    const { startedMs, bucket } = this.#round
    const name = hash('md5', `${bucket}/${this.#rule.id}/${startedMs}/${this.#files.length}`, 'hex')
    const key = `${this.#folder}data/${asUuid(name)}.csv.gz`
    await this.#put(key, 'application/gzip', body)
    this.#files.push({ key, size: body.length, MD5checksum: hash('md5', body, 'hex') })
  }

  async #putManifest(): Promise<void> {
    const { startedMs, bucket } = this.#round
    const manifest = Buffer.from(
      JSON.stringify(
        {
          sourceBucket: bucket,
          destinationBucket: `arn:aws:s3:::${this.#rule.target.bucket}`,
          version: '2016-11-30',
          creationTimestamp: String(Math.floor(startedMs)),
          fileFormat: 'CSV',
          fileSchema: inventorySchema(this.#rule),
          files: this.#files,
        },
        null,
        2,
      ),
    )
    const minute = new Date(startedMs).toISOString().slice(0, 16).replace(':', '-')
    const folder = `${this.#folder}${minute}Z/`
    await this.#put(`${folder}manifest.json`, 'application/json', manifest)
    // Who waits for this one finds the manifest whole.
    const checksum = Buffer.from(hash('md5', manifest, 'hex'))
    await this.#put(`${folder}manifest.checksum`, 'text/plain', checksum)
  }

  async #put(key: string, contentType: string, body: Buffer): Promise<void> {
    const { account, bucket } = this.#rule.target
    const call = callFor(ownCall(this.#calls, { account, bucket, key }), this.#rule.target)
    await putOwnObject(call, { contentType, body })
  }
}

/** The call as one that asks for the target's encryption. */
export function callFor(call: S3Call, { encryption }: Pick<InventoryTarget, 'encryption'>): S3Call {
  const form = new Map<string, string>()
  if (encryption !== null) form.set('x-amz-server-side-encryption', encryption.mode)
  if (encryption?.keyId !== undefined) {
    form.set('x-amz-server-side-encryption-aws-kms-key-id', encryption.keyId)
  }
  return new S3Call({ ...call.parts, form })
}

function asUuid(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
