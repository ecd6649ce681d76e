/**
 * Many things by one request: `POST ?bulk-delete` of up to 10,000 names, `PUT ?extract-archive=tar|tar.gz|tar.bz2`. The
 * answer is always a 200 whose text says what became of each; blanks come before it while the work goes on.
 * https://docs.openstack.org/swift/latest/middleware.html#bulk-operations-delete-and-archive-auto-extraction
 */
import { sendContinue } from '../../body.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import type { Reply } from '../../reply.ts'
import { acceptedType, type ListingType } from '../../swift/accept.ts'
import { authenticate } from '../../swift/authenticate.ts'
import { type BatchReport, renderReport } from '../../swift/batch-report.ts'
import type { Layer } from '../layer.ts'
import { archiveFormat, extractArchive } from './archive.ts'
import { deleteNames } from './bulk-delete.ts'
import { type BulkResult, refusedFields } from './bulk-result.ts'
import { pulse } from './pulse.ts'

export interface BulkOptions {
  readonly deletesMax?: number
  /** Failed ones after which no more are tried. */
  readonly failedDeletesMax?: number
  /** Deleted at once. */
  readonly deleteConcurrency?: number
  /** Containers that one archive may make. */
  readonly containersMax?: number
  /** Failed ones after which no more are unpacked. */
  readonly failedExtractionsMax?: number
  /** Seconds between two blanks. */
  readonly yieldSeconds?: number
}

/** Swift's own, but for the concurrency: a deletion here waits for a sync that others share. */
export const BULK_DEFAULTS = {
  deletesMax: 10_000,
  failedDeletesMax: 1_000,
  deleteConcurrency: 8,
  containersMax: 10_000,
  failedExtractionsMax: 1_000,
  yieldSeconds: 10,
} satisfies Required<BulkOptions>

export type BulkSettings = Required<BulkOptions>

export function bulkLayer(options: BulkOptions): Layer {
  const settings = { ...BULK_DEFAULTS, ...options }
  return {
    name: 'bulk',
    concerns: ({ url, method }) =>
      url.includes('?') && (method === 'PUT' || method === 'POST' || method === 'DELETE'),
    answer(exchange, next) {
      const { query, method } = exchange
      const archive = query.get('extract-archive')
      if (archive !== undefined && method === 'PUT') return extract(exchange, archive, settings)
      if (query.has('bulk-delete') && method !== 'PUT') return remove(exchange, settings)
      return next()
    },
    info: {
      bulk_upload: {
        max_containers_per_extraction: settings.containersMax,
        max_failed_extractions: settings.failedExtractionsMax,
      },
      bulk_delete: {
        max_deletes_per_request: settings.deletesMax,
        max_failed_deletes: settings.failedDeletesMax,
      },
    },
  }
}

async function extract(
  exchange: Exchange,
  archive: string,
  settings: BulkSettings,
): Promise<Reply> {
  const format = archiveFormat(archive)
  if (format === null) throw badRequest('Unsupported archive format')
  await authenticate(exchange)
  const nothing = { 'Number Files Created': 0 }
  return reportReply(exchange, { root: 'extract', nothing, settings }, () =>
    extractArchive(exchange, format, settings),
  )
}

async function remove(exchange: Exchange, settings: BulkSettings): Promise<Reply> {
  await authenticate(exchange)
  const nothing = { 'Number Deleted': 0, 'Number Not Found': 0 }
  return reportReply(exchange, { root: 'delete', nothing, settings }, async () => {
    const type = exchange.header('content-type')
    if (type !== undefined && type !== '' && !type.startsWith('text/plain')) throw refusal(406)
    return deleteNames(exchange, settings)
  })
}

interface Work {
  readonly root: string
  /** What is reported of work that was refused. */
  readonly nothing: BatchReport['fields']
  readonly settings: BulkSettings
}

/** The report comes when the work is done, as the end of an answer that began at once. */
function reportReply(
  exchange: Exchange,
  { root, nothing, settings }: Work,
  run: () => Promise<BulkResult>,
): Reply {
  const type = wantedType(exchange)
  sendContinue(exchange)
  const report = async () => {
    try {
      if (type === null) throw refusal(406)
      checkHasBody(exchange)
      return renderReport(type, { ...(await run()), root })
    } catch (error) {
      return renderReport(type ?? 'text/plain', {
        fields: { ...nothing, ...refusedFields(exchange, error) },
        errors: [],
        root,
      })
    }
  }
  const first = type?.endsWith('/xml') === true ? '<?xml version="1.0" encoding="UTF-8"?>\n' : ' '
  return {
    status: 200,
    headers: ['Content-Type', `${type ?? 'text/plain'}; charset=utf-8`],
    body: {
      bytes: null,
      readsBody: true,
      pieces: () =>
        pulse(report, {
          clock: exchange.proxy.clock,
          everyMs: settings.yieldSeconds * 1000,
          first,
        }),
      close: async () => {},
    },
  }
}

function wantedType(exchange: Exchange): ListingType | null {
  try {
    return acceptedType(exchange.header('accept'))
  } catch {
    return null
  }
}

function checkHasBody({ headers }: Exchange): void {
  if (headers['content-length'] !== undefined) return
  if (headers['transfer-encoding'] === undefined)
    throw refusal(411, 'Missing Content-Length header.')
}
