/**
 * A line of a bucket's access log. Source: docs.aws.amazon.com/AmazonS3/latest/userguide, "Amazon S3 server access log
 * format". Pure.
 */

/** What a record tells; texts of requests are as they came on the wire, undefined is what there is not. */
export interface LogRecord {
  readonly bucketOwner: string
  readonly bucket: string
  /** When the request came, in milliseconds since 1970. */
  readonly receivedMs: number
  readonly remoteAddress: string | undefined
  /** An account, or the ARN of one of its users or sessions; undefined: nobody has signed. */
  readonly requester: string | undefined
  readonly requestId: string
  readonly operation: string
  readonly key: string | undefined
  readonly method: string
  readonly target: string
  readonly status: number
  readonly errorCode: string | undefined
  readonly sentBytes: number
  readonly objectBytes: number | undefined
  /** Until the answer was sent. */
  readonly totalMs: number
  /** Until there was an answer. */
  readonly turnAroundMs: number
  readonly referer: string | undefined
  readonly userAgent: string | undefined
  readonly versionId: string | undefined
  readonly hostId: string | undefined
  readonly signature: 'SigV2' | 'SigV4' | undefined
  readonly cipher: string | undefined
  readonly authentication: 'AuthHeader' | 'QueryString' | undefined
  readonly host: string | undefined
  readonly tls: string | undefined
}

/** Texts that clients choose are cut off behind so many characters. */
const TEXT_CHARS_MAX = 2048
const TARGET_CHARS_MAX = 8192

/** The line without its end: ASCII, its fields parted by blanks. */
export function renderRecord(record: LogRecord): string {
  const { target, referer } = record
  return [
    word(record.bucketOwner),
    word(record.bucket),
    `[${timeOf(record.receivedMs)}]`,
    word(record.remoteAddress),
    word(record.requester),
    word(record.requestId),
    record.operation,
    record.key === undefined ? '-' : escapeKey(record.key),
    quoted(`${record.method} ${withoutSecrets(target)} HTTP/1.1`, TARGET_CHARS_MAX),
    record.status,
    word(record.errorCode),
    record.sentBytes || '-',
    record.objectBytes ?? '-',
    Math.round(record.totalMs),
    Math.round(record.turnAroundMs),
    quoted(referer === undefined ? undefined : withoutSecrets(referer)),
    quoted(record.userAgent),
    word(record.versionId),
    word(record.hostId),
    word(record.signature),
    word(record.cipher),
    word(record.authentication),
    word(record.host),
    word(record.tls),
    // Access points there are none; whether a list was needed is not noted.
    '-',
    '-',
  ].join(' ')
}

const SECRETS = new Set([
  'awsaccesskeyid',
  'signature',
  'swiftinfo_sig',
  'temp_url_sig',
  'x-amz-credential',
  'x-amz-security-token',
  'x-amz-signature',
  'x-auth-token',
])

/** The URL without what is as good as a password in its query, however its name is escaped. */
export function withoutSecrets(url: string): string {
  const start = url.indexOf('?')
  if (start < 0) return url
  const pairs = url.slice(start + 1).split(/([&#;?])/)
  return url.slice(0, start + 1) + pairs.map(withoutSecret).join('')
}

function withoutSecret(pair: string): string {
  const [raw = '', ...value] = pair.split('=')
  const name = unescaped(raw).trim().toLowerCase()
  const isSecret = SECRETS.has(name) || name.includes('customer-key')
  return value.length > 0 && isSecret ? `${raw}=REDACTED` : pair
}

function unescaped(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** `06/Feb/2019:00:00:38 +0000` */
function timeOf(atMs: number): string {
  const [date = '', time = ''] = new Date(atMs).toISOString().slice(0, 19).split('T')
  const [year, month, day] = date.split('-')
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${time} +0000`
}

/** A field of its own: no blank, no quote, nothing that ends the line. */
function word(text: string | undefined): string {
  if (text === undefined || text === '') return '-'
  return escaped(text.slice(0, TEXT_CHARS_MAX), /[^\x21-\x7e]|["\\]/g)
}

function quoted(text: string | undefined, charsMax = TEXT_CHARS_MAX): string {
  if (text === undefined || text === '') return '"-"'
  return `"${escaped(text.slice(0, charsMax), /[^\x20-\x7e]|["\\]/g)}"`
}

function escapeKey(key: string): string {
  return escaped(Buffer.from(key).toString('latin1'), /[^A-Za-z0-9._~/-]/g)
}

/** Of texts that have one character a byte. */
function escaped(text: string, what: RegExp): string {
  return text.replace(what, (char) => {
    const code = char.charCodeAt(0)
    return `%${code.toString(16).toUpperCase().padStart(2, '0')}`
  })
}
