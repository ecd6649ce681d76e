/** A page of a bucket's listing, as all four kinds of listing need it. */
import type { ListEntry, ListRow } from '../../../common/storage-node.ts'
import { escapePath } from '../../wire-text.ts'
import type { S3Call } from '../s3-call.ts'
import { noSuchBucket, S3Error } from '../s3-error.ts'

export const KEYS_MAX = 1000

export interface NamePage {
  readonly rows: readonly ListRow[]
  readonly prefixes: readonly string[]
  readonly isTruncated: boolean
  /** The last name or prefix on the page. */
  readonly last: string | undefined
}

/** What is asked of a listing, besides where it begins. */
export interface ListOptions {
  readonly maxKeys: number
  readonly prefix: string
  readonly delimiter: string
  /** Makes names fit for XML, where the client has asked for it. */
  readonly encode: (name: string) => string
  readonly encodingType: string | undefined
}

export function listOptions(call: S3Call): ListOptions {
  const { query } = call
  const encodingType = query.get('encoding-type')
  if (encodingType !== undefined && encodingType !== '' && encodingType !== 'url') {
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request', {
      ArgumentName: 'encoding-type',
      ArgumentValue: encodingType,
    })
  }
  return {
    maxKeys: query.count('max-keys', { max: KEYS_MAX, otherwise: KEYS_MAX }),
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    encode: encodingType === 'url' ? escapePath : (name) => name,
    encodingType: encodingType || undefined,
  }
}

/** The names behind `after`, in order. */
export async function listNames(
  call: S3Call,
  at: { readonly account: string; readonly container: string },
  query: {
    readonly after: string
    readonly prefix: string
    readonly delimiter: string
    readonly limit: number
  },
): Promise<NamePage> {
  const { after, prefix, delimiter, limit } = query
  const page = await call.exchange.proxy.backend.listContainer(at.account, at.container, {
    // One more tells whether there is more.
    limit: limit === 0 ? 0 : limit + 1,
    ...(after !== '' && { marker: after }),
    ...(prefix !== '' && { prefix }),
    ...(delimiter !== '' && { delimiter }),
  })
  if (page === null) throw noSuchBucket(at.container)
  const entries = page.entries.slice(0, limit)
  return {
    rows: entries.filter(isRow),
    prefixes: entries.flatMap((entry) => ('subdir' in entry ? [entry.subdir] : [])),
    isTruncated: page.entries.length > limit,
    last: entries.length === 0 ? undefined : nameOf(entries.at(-1)!),
  }
}

function isRow(entry: ListEntry): entry is ListRow {
  return !('subdir' in entry)
}

function nameOf(entry: ListEntry): string {
  return 'subdir' in entry ? entry.subdir : entry.name
}
