import { preflight } from '../cors/cross-origin.ts'
import type { S3Call, S3Change } from '../s3-call.ts'
import { notImplemented, S3Error } from '../s3-error.ts'
import { routesOf, type S3Action, type S3Route, type S3Subject, SUBRESOURCES } from './routes.ts'

const READS = ['GET', 'HEAD']
const READS_BY_POST = ['SelectObjectContent']
/** Whatever the method: a DELETE of a setting is a change like another. */
const DELETIONS = ['AbortMultipartUpload', 'DeleteBucket', 'DeleteObject', 'DeleteObjects']

/** What an action does to what is stored. */
export function changeBy({ name, method }: Pick<S3Route, 'name' | 'method'>): S3Change {
  if (READS.includes(method) || READS_BY_POST.includes(name)) return 'nothing'
  return DELETIONS.includes(name) ? 'deletion' : 'write'
}

/** The action that answers the call, which knows then what it changes; NotImplemented or MethodNotAllowed where there is none. */
export function actionOf(call: S3Call): S3Action {
  const on = subjectOf(call)
  const { method } = call.exchange
  // A browser asks about the request that it is going to send, whatever that is.
  if (method === 'OPTIONS') return preflight
  const special = call.query.names.filter((name) => SUBRESOURCES[on].has(name))
  const routes = routesOf(on, method)
  const route = routes.find((row) => fits(row, call) && coversAll(row, special))
  if (route?.action) {
    call.notes.change = changeBy(route)
    return route.action
  }
  if (route !== undefined) throw notImplemented(route.name)
  if (special.length > 0) throw notImplemented(`${method} ?${special.join('&')}`)
  throw new S3Error('MethodNotAllowed', undefined, {
    Method: method,
    ResourceType: on.toUpperCase(),
  })
}

export function subjectOf({ target }: Pick<S3Call, 'target'>): S3Subject {
  if (target.bucket === undefined) return 'service'
  return target.key === undefined ? 'bucket' : 'object'
}

function fits({ query, header }: S3Route, call: S3Call): boolean {
  if (header !== undefined && call.header(header) === undefined) return false
  if (query === undefined) return true
  const equals = query.indexOf('=')
  return equals < 0
    ? call.query.has(query)
    : call.query.get(query.slice(0, equals)) === query.slice(equals + 1)
}

/** A special parameter that the row does not speak of is not overlooked. */
function coversAll({ query }: S3Route, special: readonly string[]): boolean {
  return special.every((name) => name === query)
}
