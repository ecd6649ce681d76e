/**
 * One report of a bucket: files of lines, and behind them the manifest that names them. What is begun anew overwrites what it has
 * written before, for the names come from when the round began.
 */
import { hash } from 'node:crypto'
import type { VersionLine } from '../bucket/version-page.ts'
import { bucketLines } from '../lifecycle/bucket-lines.ts'
import { type OwnCalls, ownCall } from '../lifecycle/own-call.ts'
import { putOwnObject } from '../object/put-own-object.ts'
import { S3Call } from '../s3-call.ts'
import {
  type InventoriedVersion,
  type InventoryColumn,
  type InventorySource,
  inventoryColumns,
  isInventoried,
} from './inventory-columns.ts'
import { FILE_FORMATS, type FileFormat, type InventoryFile } from './inventory-file.ts'
import { withHeads } from './inventory-heads.ts'
import {
  formatOf,
  type InventoryRule,
  type InventoryTarget,
  reportFolder,
} from './inventory-rule.ts'
import { judgeReport } from './report-permission.ts'

/** Lines between two words to whoever asks whether to go on. */
const LINES_BETWEEN = 1000

export interface ReportRound {
  readonly source: InventorySource
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
  readonly #source: InventorySource
  readonly #format: FileFormat
  readonly #columns: readonly InventoryColumn[]
  readonly #folder: string
  readonly #files: ReportFile[] = []
  /** In the middle of the listing. */
  #isLeft = false

  constructor(calls: OwnCalls, rule: InventoryRule, round: ReportRound) {
    this.#calls = calls
    this.#rule = rule
    this.#round = round
    this.#source = round.source
    this.#format = FILE_FORMATS[formatOf(rule.target)]
    this.#columns = inventoryColumns(rule, round.source)
    this.#folder = reportFolder(rule, round.source.bucket)
  }

  async write(): Promise<ReportEnd> {
    if (!(await this.#isTaken())) return 'refused'
    let file: InventoryFile | null = null
    for await (const version of this.#versions()) {
      file ??= this.#format.open(this.#columns)
      file.add(this.#columns.map(({ cell }) => cell(version)))
      if (!file.isFull) continue
      await this.#putFile(await file.finish())
      file = null
    }
    if (this.#isLeft) return 'left'
    if (file !== null) await this.#putFile(await file.finish())
    if (!(await this.#round.mayGoOn())) return 'left'
    await this.#putManifest()
    return 'done'
  }

  #versions(): AsyncIterable<InventoriedVersion> {
    const call = ownCall(this.#calls, this.#source)
    const lines = this.#lines(call)
    const asksHeads = this.#columns.some(({ asksHead }) => asksHead)
    return asksHeads ? withHeads(call, this.#source, lines) : withoutHeads(lines)
  }

  async *#lines(call: S3Call): AsyncGenerator<VersionLine> {
    const { account, bucket } = this.#source
    const at = { account, container: bucket }
    let seen = 0
    for await (const line of bucketLines(call, at, { after: '', prefix: this.#rule.prefix })) {
      if (++seen % LINES_BETWEEN === 0 && !(await this.#round.mayGoOn())) {
        this.#isLeft = true
        return
      }
      if (isInventoried(this.#rule, line)) yield line
    }
  }

  /** The owner's own bucket takes it unless its policy says no; others have to say yes. */
  async #isTaken(): Promise<boolean> {
    const { target } = this.#rule
    const info = await this.#calls.proxy.backend.readContainer(target.account, target.bucket)
    if (info === null) return false
    const judged = judgeReport(info, this.#rule, this.#source)
    return judged === null ? target.account === this.#source.account : judged === 'allow'
  }

  async #putFile(body: Buffer): Promise<void> {
    const { extension, contentType } = this.#format
    const { startedMs } = this.#round
    const { bucket } = this.#source
    const name = hash('md5', `${bucket}/${this.#rule.id}/${startedMs}/${this.#files.length}`, 'hex')
    const key = `${this.#folder}data/${asUuid(name)}.${extension}`
    await this.#put(key, contentType, body)
    this.#files.push({ key, size: body.length, MD5checksum: hash('md5', body, 'hex') })
  }

  async #putManifest(): Promise<void> {
    const { startedMs } = this.#round
    const manifest = Buffer.from(
      JSON.stringify(
        {
          sourceBucket: this.#source.bucket,
          destinationBucket: `arn:aws:s3:::${this.#rule.target.bucket}`,
          version: '2016-11-30',
          creationTimestamp: String(Math.floor(startedMs)),
          fileFormat: formatOf(this.#rule.target),
          fileSchema: this.#format.schema(this.#columns),
          files: this.#files,
        },
        null,
        2,
      ),
    )
    const minute = new Date(startedMs).toISOString().slice(0, 16).replace(':', '-')
    await this.#putLinks(minute.replace('T', '-'))
    const folder = `${this.#folder}${minute}Z/`
    await this.#put(`${folder}manifest.json`, 'application/json', manifest)
    // Who waits for this one finds the manifest whole.
    const checksum = Buffer.from(hash('md5', manifest, 'hex'))
    await this.#put(`${folder}manifest.checksum`, 'text/plain', checksum)
  }

  /** Where the files are, for Hive and Athena. */
  async #putLinks(time: string): Promise<void> {
    const { bucket } = this.#rule.target
    const links = this.#files.map(({ key }) => `s3://${bucket}/${key}`).join('\n')
    await this.#put(`${this.#folder}hive/dt=${time}/symlink.txt`, 'text/plain', Buffer.from(links))
  }

  async #put(key: string, contentType: string, body: Buffer): Promise<void> {
    const { account, bucket } = this.#rule.target
    const call = callFor(ownCall(this.#calls, { account, bucket, key }), this.#rule.target)
    await putOwnObject(call, { contentType, body })
  }
}

async function* withoutHeads(lines: AsyncIterable<VersionLine>) {
  for await (const line of lines) yield { line, head: null }
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
