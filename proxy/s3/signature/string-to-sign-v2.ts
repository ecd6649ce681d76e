import { escapeBytes, type QueryPairs, type SignableRequest, unescapeBytes } from './canonical.ts'

/**
 * Query parameters that are a part of what Version 2 signs: AWS's list, and whatever else makes another action of a request (a
 * test walks the routes), or who was given a presigned URL could choose what it does.
 */
export const SIGNED_PARAMETERS: ReadonlySet<string> = new Set([
  'abac',
  'accelerate',
  'acl',
  'analytics',
  'annotation',
  'annotations',
  'append',
  'attributes',
  'cors',
  'delete',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'location',
  'logging',
  'metadataConfiguration',
  'metadataTable',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'partNumber',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'renameObject',
  'replication',
  'requestPayment',
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
  'restore',
  'retention',
  'select',
  'select-type',
  'session',
  'tagging',
  'torrent',
  'uploadId',
  'uploads',
  'versionId',
  'versioning',
  'versions',
  'website',
])

/** What Version 2 signs of a request. https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html */
export function stringToSignV2(
  request: SignableRequest,
  options: {
    readonly query: QueryPairs
    /** Named by the Host header. */
    readonly bucket: string | undefined
    /** Set: a presigned URL. */
    readonly expires: string | undefined
  },
): string {
  const { method, headers } = request
  const amz = amzFields(headers, options.expires === undefined ? [] : options.query)
  const date = options.expires ?? (headers['x-amz-date'] === undefined ? (headers.date ?? '') : '')
  const lines = [method, text(headers['content-md5']), text(headers['content-type']), date]
  for (const name of [...amz.keys()].sort()) lines.push(`${name}:${amz.get(name)!.join(',')}`)
  return `${lines.join('\n')}\n${resourceOf(request, options)}`
}

/** By names: those of a presigned URL may stand in its query, where they mean the same, and are signed the same. */
function amzFields(
  headers: SignableRequest['headers'],
  query: QueryPairs,
): ReadonlyMap<string, readonly string[]> {
  const fields = new Map<string, string[]>()
  const sent = Object.entries(headers).map(([name, value]) => [name, text(value).trim()] as const)
  for (const [name, value] of [...sent, ...query]) {
    if (!name.startsWith('x-amz-')) continue
    const values = fields.get(name) ?? []
    fields.set(name, [...values, value])
  }
  return fields
}

function resourceOf(
  { url }: SignableRequest,
  { query, bucket }: { readonly query: QueryPairs; readonly bucket: string | undefined },
): string {
  const end = url.indexOf('?')
  const path = escapeBytes(unescapeBytes(end < 0 ? url : url.slice(0, end)), { slashes: true })
  const signed = query.filter(([name]) => SIGNED_PARAMETERS.has(name))
  const words = signed.map(([name, value]) => (value === '' ? name : `${name}=${value}`)).sort()
  const resource = bucket === undefined ? path : `/${bucket}${path}`
  return words.length === 0 ? resource : `${resource}?${words.join('&')}`
}

function text(value: string | readonly string[] | undefined): string {
  return typeof value === 'string' ? value : (value ?? []).join(',')
}
