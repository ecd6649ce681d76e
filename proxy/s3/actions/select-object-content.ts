/** SelectObjectContent: a query over one object, answered while the object is read. */
import type { Reply } from '../../reply.ts'
import { closeBody } from '../../swift/object-body.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { customerKeyOf } from '../encryption/customer-key.ts'
import { refuseNotBuilt } from '../object/object-headers.ts'
import { versionIdOf } from '../object/version-id.ts'
import { openObject } from '../object/view-for-s3.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { selectAnswer, selectWork } from '../select/select-answer.ts'
import { SelectError } from '../select/select-error.ts'
import { readSelectRequest, type SelectRequest } from '../select/select-request.ts'
import { ObjectSource } from '../select/select-source.ts'
import { parseQuery } from '../select/sql/parse-query.ts'
import type { Query } from '../select/sql/query.ts'
import { parseXml } from '../xml/xml-in.ts'

/** Twice the longest query: what is escaped in it takes more. */
const DOCUMENT_BYTES_MAX = 512 * 1024

export async function selectObjectContent(call: S3Call): Promise<Reply> {
  refuseNotBuilt(call)
  if (call.query.get('select-type') !== '2') {
    throw new S3Error('InvalidArgument', undefined, { ArgumentName: 'select-type' })
  }
  const place = await enterObject(call, { action: 's3:GetObject', acl: 'read', method: 'GET' })
  // Rights are judged for the version that is named, so that is what is read.
  const version = versionIdOf(call, place)
  const customer = customerKeyOf(call)
  const { request, query } = read(await receiveDocument(call, DOCUMENT_BYTES_MAX))
  const view = await openObject(call, place, { version, head: false, customer })
  try {
    await view.segments?.prepare({ start: 0, end: view.read.info.bytes })
  } catch (error) {
    await closeBody(view.read)
    throw error
  }
  const { clock, log } = call.exchange.proxy
  const source = new ObjectSource(view.read, request)
  const work = selectWork(request, { query, nowMs: clock.nowMs(), bytes: view.read.info.bytes })
  const onError = (error: unknown) => {
    log.error('query cut off', { transId: call.exchange.transId, error })
  }
  return {
    status: 200,
    headers: ['Content-Type', 'application/octet-stream'],
    body: {
      bytes: null,
      pieces: () => selectAnswer(source, work, { progress: request.progress, clock, onError }),
      close: () => closeBody(view.read),
    },
  }
}

/** What is asked, and the query in it; what is wrong with them is told before anything is read. */
function read(document: Buffer): { readonly request: SelectRequest; readonly query: Query } {
  const root = parseXml(document, 'SelectObjectContentRequest')
  try {
    const request = readSelectRequest(root)
    return { request, query: parseQuery(request.expression) }
  } catch (error) {
    if (error instanceof SelectError) throw new S3Error(error.code, error.message)
    throw error
  }
}
