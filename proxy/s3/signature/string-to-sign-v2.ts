import { escapeBytes, type QueryPairs, type SignableRequest, unescapeBytes } from './canonical.ts'

/** Query parameters that are a part of what Version 2 signs. */
const SIGNED_PARAMETERS = new Set([
  'acl',
  'cors',
  'delete',
  'encryption',
  'lifecycle',
  'location',
  'logging',
  'notification',
  'object-lock',
  'partNumber',
  'policy',
  'policyStatus',
  'publicAccessBlock',
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
  'legal-hold',
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
    readonly expires: string | undefined
  },
): string {
  const { method, headers } = request
  const amz = Object.keys(headers).filter((name) => name.startsWith('x-amz-'))
  amz.sort()
  const date = options.expires ?? (headers['x-amz-date'] === undefined ? (headers.date ?? '') : '')
  const lines = [method, text(headers['content-md5']), text(headers['content-type']), date]
  for (const name of amz) lines.push(`${name}:${text(headers[name]).trim()}`)
  return `${lines.join('\n')}\n${resourceOf(request, options)}`
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
