import type { IamResult, IamValue } from '../../../common/iam.ts'
import { renderXml, type XmlElement, type XmlValue } from '../xml/xml-out.ts'

/** By the version that a request names. */
const NAMESPACES: Readonly<Record<string, string>> = {
  '2010-05-08': 'https://iam.amazonaws.com/doc/2010-05-08/',
  '2011-06-15': 'https://sts.amazonaws.com/doc/2011-06-15/',
  '2010-03-31': 'http://sns.amazonaws.com/doc/2010-03-31/',
}

type Params = Readonly<Record<string, string>>

/** What an action has come to. */
export function resultDocument(
  { Action: action = '', Version: version }: Params,
  { result, requestId }: { readonly result: IamResult; readonly requestId: string },
): string {
  return renderXml(`${action}Response`, {
    '@_xmlns': namespaceOf(version),
    [`${action}Result`]: elementOf(result),
    ResponseMetadata: { RequestId: requestId },
  })
}

export function errorDocument(
  { Version: version }: Params,
  error: {
    readonly status: number
    readonly code: string
    readonly message: string
    readonly requestId: string
  },
): string {
  return renderXml('ErrorResponse', {
    '@_xmlns': namespaceOf(version),
    Error: {
      Type: error.status < 500 ? 'Sender' : 'Receiver',
      Code: error.code,
      Message: error.message,
    },
    RequestId: error.requestId,
  })
}

function namespaceOf(version = '2010-05-08'): string {
  return (Object.hasOwn(NAMESPACES, version) && NAMESPACES[version]) || NAMESPACES['2010-05-08']!
}

function elementOf(result: IamResult): XmlElement {
  const entries = Object.entries(result).filter(([, value]) => value !== null)
  return Object.fromEntries(
    entries.map(([name, value]) => [name, MAPS.includes(name) ? mapOf(value) : xmlOf(value)]),
  )
}

const MAPS = ['SummaryMap', 'Attributes']

function xmlOf(value: IamValue): XmlValue {
  if (Array.isArray(value)) {
    const members = value as readonly IamValue[]
    return members.length === 0 ? '' : { member: members.map(xmlOf) }
  }
  return typeof value === 'object' && value !== null
    ? elementOf(value as IamResult)
    : (value as string)
}

/** A map, as these APIs write it. */
function mapOf(value: IamValue): XmlValue {
  const entries = Object.entries(value as IamResult)
  return { entry: entries.map(([key, of]) => ({ key, value: xmlOf(of) })) }
}
