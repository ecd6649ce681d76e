/** `DELETE …?multipart-manifest=delete`: a static large object with all its segments. */
import { forEachParallel } from '../../../common/bounded-parallel.ts'
import { ServiceError } from '../../../common/errors.ts'
import { badRequest, type Exchange, refusal } from '../../exchange.ts'
import { explanationOf, type Reply } from '../../reply.ts'
import { escapePath } from '../../wire-text.ts'
import { renderReport, reportType, statusLine } from '../batch-report.ts'
import { findObject, findVersion } from '../found-object.ts'
import { innerExchange } from '../inner-exchange.ts'
import { accessObject } from '../object-access.ts'
import { deleteObject } from '../object-post.ts'
import type { SwiftPath } from '../path.ts'
import { isTrue } from '../query.ts'
import { checkNotSealed } from '../versions/check-lock.ts'
import { decodeManifest, type StoredObject, splitSegmentPath } from './slo-manifest.ts'
import { manifestOf, STATIC_LARGE_OBJECT } from './static-object.ts'

/** Segments that are deleted at once. */
const DELETES_MAX = 8

/** An object of the account, `/container/object`, with the version of it that is meant. */
interface Doomed {
  readonly name: string
  readonly version?: string
}

export function deleteStaticObject(exchange: Exchange): Promise<Reply> {
  return isTrue(exchange.query.get('async')) ? deleteLater(exchange) : deleteNow(exchange)
}

/** Everything at once; the answer says what became of each. */
async function deleteNow(exchange: Exchange): Promise<Reply> {
  const tally = new DeletionTally(exchange)
  const { container, object } = exchange.path!
  const version = exchange.query.get('version-id')
  const name = `/${container}/${object}`
  await tally.deleteWithSegments(version === undefined ? { name } : { name, version })
  const type = reportType(exchange)
  return { status: 200, headers: ['Content-Type', type], body: tally.report(type) }
}

/** What was deleted, what was not there, and what could not be. */
class DeletionTally {
  readonly #exchange: Exchange
  readonly #errors: (readonly [string, string])[] = []
  #deleted = 0
  #notFound = 0
  /** Manifests whose segments were seen to. */
  #manifests = 0

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /** The segments first: who loses the connection in between can begin again. */
  async deleteWithSegments(manifest: Doomed): Promise<void> {
    const { sloSegmentsMax } = this.#exchange.proxy.limits
    if (++this.#manifests > sloSegmentsMax)
      throw badRequest('Too many buffered slo segments to delete.')
    let segments: readonly StoredObject[]
    try {
      segments = await segmentsOf(this.#exchange, manifest)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      this.#failed(manifest, error)
      return
    }
    await forEachParallel(
      segments.filter((segment) => segment.sub_slo !== true),
      DELETES_MAX,
      (segment) => this.#delete(segment),
    )
    for (const segment of segments) {
      if (segment.sub_slo === true) await this.deleteWithSegments(segment)
    }
    await this.#delete(manifest)
  }

  report(type: ReturnType<typeof reportType>): string {
    const isNothing = this.#deleted === 0 && this.#notFound === 0
    const status = this.#errors.length > 0 || isNothing ? 400 : 200
    const fields = {
      'Response Status': statusLine(status),
      'Response Body': isNothing && this.#errors.length === 0 ? explanationOf(400) : '',
      'Number Deleted': this.#deleted,
      'Number Not Found': this.#notFound,
    }
    const head = type.endsWith('/xml') ? '<?xml version="1.0" encoding="UTF-8"?>\n' : ''
    return head + renderReport(type, { fields, errors: this.#errors, root: 'delete' })
  }

  #failed({ name }: Doomed, error: ServiceError): void {
    if (error.status === 404) this.#notFound++
    else this.#errors.push([escapePath(name), error.message || statusLine(error.status)])
  }

  async #delete(doomed: Doomed): Promise<void> {
    const { status } = await this.#exchange.proxy.answerInner(
      innerExchange(this.#exchange, {
        method: 'DELETE',
        path: pathOf(this.#exchange, doomed.name),
        ...(doomed.version === undefined ? {} : { query: `version-id=${doomed.version}` }),
      }),
    )
    if (status >= 200 && status < 300) this.#deleted++
    else if (status === 404) this.#notFound++
    else this.#errors.push([escapePath(doomed.name), statusLine(status)])
  }
}

/**
 * The manifest at once, its segments by their expiry: they are marked as due now, which is durable, and the expirer
 * removes them.
 */
async function deleteLater(exchange: Exchange): Promise<Reply> {
  const { backend, clock } = exchange.proxy
  const { container, object } = exchange.path!
  const segments = await segmentsOf(exchange, { name: `/${container}/${object}` })
  const containers = new Set(segments.map((segment) => splitSegmentPath(segment.name).container))
  if (containers.size > 1) {
    const names = [...containers].map((name) => `"${escapePath(name)}"`).join(', ')
    throw badRequest(`All segments must be in one container. Found segments in ${names}`)
  }
  if (segments.some((segment) => segment.sub_slo === true)) {
    throw badRequest('No segments may be large objects.')
  }
  await accessObject(exchange, { acl: 'write' })
  const due = String(Math.floor(clock.nowMs() / 1000) - 1)
  await forEachParallel(segments, DELETES_MAX, async (segment) => {
    const path = pathOf(exchange, segment.name)
    const place = await accessObject(exchange, { acl: 'write', path })
    checkNotSealed(exchange, place)
    const found = await backend.readObject(place, { head: true })
    if (found === null || found.info.meta.etag !== segment.hash) return
    // Only that very segment: what was written since stays.
    const condition = { ifWriteId: found.info.writeId }
    const headers = { ...found.info.meta.headers, 'x-delete-at': due }
    await backend.postObject(place, { meta: { headers }, condition })
  })
  return deleteObject(exchange)
}

function pathOf(exchange: Exchange, name: string): SwiftPath {
  return { account: exchange.path!.account, ...splitSegmentPath(name) }
}

/** The objects that a manifest names; 404 without one, 400 for an object that is none. */
async function segmentsOf(exchange: Exchange, doomed: Doomed): Promise<readonly StoredObject[]> {
  const path = pathOf(exchange, doomed.name)
  const place = await accessObject(exchange, { acl: 'read', method: 'GET', path })
  const { version } = doomed
  const found = await (version === undefined
    ? findObject(exchange, place, { head: true })
    : findVersion(exchange, place, { version, head: true }))
  if (found === null) throw refusal(404, 'SLO manifest not found')
  if (found.read.info.meta.headers[STATIC_LARGE_OBJECT] === undefined) {
    throw badRequest('Not an SLO manifest')
  }
  const segments = decodeManifest(await manifestOf(exchange, found))
  return segments.filter((segment): segment is StoredObject => 'name' in segment)
}
