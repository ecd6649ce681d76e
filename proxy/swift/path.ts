import { ServiceError } from '../../common/errors.ts'
import { unescapeUrl } from '../wire-text.ts'

/** What a Swift URL names. Later parts are absent, never empty. */
export interface SwiftPath {
  readonly account: string
  readonly container: string | undefined
  readonly object: string | undefined
}

export const API_VERSIONS = ['v1', 'v1.0'] as const

/** The container that was named last: most requests name it again, and maps know the hashes of these very texts. */
let last = { start: '/', account: '', container: '' }

/** The part of a request target before the query. */
export function pathOfUrl(url: string): string {
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

/** The part after the question mark; empty if there is none. */
export function queryOfUrl(url: string): string {
  const start = url.indexOf('?')
  return start < 0 ? '' : url.slice(start + 1)
}

/**
 * Splits `/v1/account/container/object` after undoing the escapes, so that `%2F` is a slash like any other. Everything
 * after the container is the object's name, slashes and dots included. Throws Swift's errors: 412 for bytes that are
 * not UTF-8 or for NUL, 404 for what is no path or leaves a part out, 400 for another version, 412 without an account.
 */
export function parseSwiftPath(urlPath: string): SwiftPath {
  const path = unescapeUrl(urlPath)
  if (path === null) {
    throw new ServiceError('BadPath', 'Invalid UTF8 or contains NULL', { status: 412 })
  }
  return splitSwiftPath(path)
}

/** The same for a path whose escapes are undone. */
export function splitSwiftPath(path: string): SwiftPath {
  if (path.includes('\0')) {
    throw new ServiceError('BadPath', 'Invalid UTF8 or contains NULL', { status: 412 })
  }
  if (last.container !== '' && path.startsWith(last.start)) {
    const { account, container, start } = last
    return { account, container, object: path.slice(start.length) || undefined }
  }
  const versionEnd = partEnd(path, 1)
  const version = path.slice(1, versionEnd)
  if (path[0] !== '/' || version === '') {
    throw new ServiceError('NoSuchPath', '', { status: 404 })
  }
  const accountEnd = partEnd(path, versionEnd + 1)
  const account = path.slice(versionEnd + 1, accountEnd)
  if (account !== '' && version !== 'v1' && version !== 'v1.0') {
    throw new ServiceError('BadVersion', '', { status: 400 })
  }
  const containerEnd = partEnd(path, accountEnd + 1)
  const container = path.slice(accountEnd + 1, containerEnd)
  const object = path.slice(containerEnd + 1)
  const accountLeftOut = account === '' && accountEnd < path.length
  if (accountLeftOut || (container === '' && containerEnd < path.length)) {
    throw new ServiceError('NoSuchPath', '', { status: 404 })
  }
  if (account === '') throw new ServiceError('BadPath', 'Bad URL', { status: 412 })
  if (containerEnd < path.length)
    last = { start: path.slice(0, containerEnd + 1), account, container }
  return { account, container: container || undefined, object: object || undefined }
}

/** The whole path, unescaped: what is signed, and what pages are called by. */
export function pathText(request: {
  readonly url: string
  readonly mappedPath?: string | undefined
}): string {
  return request.mappedPath ?? unescapeUrl(pathOfUrl(request.url)) ?? ''
}

/** Where the part that starts at `start` ends. */
function partEnd(path: string, start: number): number {
  const end = path.indexOf('/', start)
  return end < 0 ? path.length : end
}
