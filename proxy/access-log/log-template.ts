/** Templates of access log lines, as Swift's `log_msg_template`: `{name}`, `{name.anonymized}`, `{end_time.datetime}`. Pure. */
import { createHash, getHashes } from 'node:crypto'
import { TIME_FORMATS, timeText } from './log-time.ts'

/** What can be anonymized. */
const PERSONAL_FIELDS = [
  'client_ip',
  'remote_addr',
  'domain',
  'path',
  'referer',
  'user_agent',
  'headers',
  'client_etag',
  'account',
  'container',
  'object',
  'access_user_id',
] as const

const PLAIN_FIELDS = [
  'method',
  'protocol',
  'status_int',
  'wire_status_int',
  'auth_token',
  'bytes_recvd',
  'bytes_sent',
  'transaction_id',
  'request_time',
  'ttfb',
  'source',
  'log_info',
  'policy_index',
  'pid',
] as const

const TIME_FIELDS = ['start_time', 'end_time'] as const

type TextField = (typeof PERSONAL_FIELDS)[number] | (typeof PLAIN_FIELDS)[number]

/** What a line may say of a request. Texts that are absent or empty are shown as `-`; times are milliseconds since 1970. */
export interface LogValues extends Readonly<Partial<Record<TextField, string>>> {
  readonly start_time: number
  readonly end_time: number
}

/** Swift's own. */
export const DEFAULT_TEMPLATE =
  '{client_ip} {remote_addr} {end_time.datetime} {method} {path} {protocol} {status_int} {referer} {user_agent} ' +
  '{auth_token} {bytes_recvd} {bytes_sent} {client_etag} {transaction_id} {headers} {request_time} {source} ' +
  '{log_info} {start_time} {end_time} {policy_index} {access_user_id}'

export interface Anonymizing {
  readonly method: string
  readonly salt: string
}

type Part = string | ((values: LogValues) => string | undefined)

const BRACES = /\{\{|\}\}|\{([a-z_]*)(?:\.([a-zA-Z0-9_]*))?\}|[{}]/g

/** Makes lines by the template. Throws a RangeError that says what in it, or in the method, is not known. */
export function compileTemplate(
  template: string,
  anonymizing: Anonymizing,
): (values: LogValues) => string {
  const method = anonymizing.method.toLowerCase()
  if (!getHashes().includes(method)) throw new RangeError(`no hashing method ${method}`)
  const parts: Part[] = []
  let end = 0
  for (const match of template.matchAll(BRACES)) {
    parts.push(template.slice(end, match.index))
    end = match.index + match[0].length
    if (match[0] === '{{' || match[0] === '}}') parts.push(match[0][0]!)
    else parts.push(fieldOf(match, { ...anonymizing, method }))
  }
  parts.push(template.slice(end))
  return (values) =>
    parts.map((part) => (typeof part === 'string' ? part : quoted(part(values)))).join('')
}

function fieldOf([whole, name, attribute]: RegExpExecArray, anonymizing: Anonymizing): Part {
  const time = TIME_FIELDS.find((field) => field === name)
  if (time !== undefined) {
    if (attribute === undefined) return (values) => (values[time] / 1000).toFixed(9)
    if (!(attribute in TIME_FORMATS)) throw new RangeError(`no such form of a time: ${whole}`)
    return (values) => timeText(values[time], attribute)
  }
  const personal = PERSONAL_FIELDS.find((field) => field === name)
  if (personal !== undefined && attribute === 'anonymized') {
    return (values) => anonymized(values[personal], anonymizing)
  }
  const text: TextField | undefined = personal ?? PLAIN_FIELDS.find((field) => field === name)
  if (text === undefined || attribute !== undefined) throw new RangeError(`no such field: ${whole}`)
  return (values) => values[text]
}

/** As Swift shows it: `{MD5}…`, `{SMD5}…` where there is a salt. */
function anonymized(value: string | undefined, { method, salt }: Anonymizing): string | undefined {
  if (value === undefined || value === '') return undefined
  const digest = createHash(method).update(salt, 'utf8').update(value, 'utf8').digest('hex')
  return `{${salt === '' ? '' : 'S'}${method.toUpperCase()}}${digest}`
}

/** As in a URL, so that a line can be split at its blanks; `-` for nothing. */
function quoted(value: string | undefined): string {
  if (value === undefined || value === '') return '-'
  return encodeURIComponent(value).replace(/[!'()*]|%(?:3A|2F|7B|7D)/g, requoted)
}

function requoted(text: string): string {
  if (text.length === 3) return decodeURIComponent(text)
  return `%${text.charCodeAt(0).toString(16).toUpperCase()}`
}
