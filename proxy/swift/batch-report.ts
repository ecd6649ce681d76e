/** What became of a request that was many: fields, and the names of what failed, in the form that the client wants. */
import type { Exchange } from '../exchange.ts'
import { reasonOf } from '../reply.ts'
import { acceptedType, type ListingType } from './accept.ts'

export interface BatchReport {
  /** `Response Status` and such. */
  readonly fields: Readonly<Record<string, string | number>>
  /** Escaped names and what is wrong with them. */
  readonly errors: readonly (readonly [name: string, problem: string])[]
  /** The element around it in XML. */
  readonly root: string
}

/** The form that the Accept header wants, text if it wants none of those there are. */
export function reportType(exchange: Exchange): ListingType {
  try {
    return acceptedType(exchange.header('accept'))
  } catch {
    return 'text/plain'
  }
}

/** `404 Not Found` */
export function statusLine(status: number): string {
  return `${status} ${reasonOf(status)}`
}

export function renderReport(type: ListingType, report: BatchReport): string {
  if (type === 'application/json') {
    return JSON.stringify({ ...report.fields, Errors: report.errors })
  }
  return type === 'text/plain' ? renderText(report) : renderXml(report)
}

function renderText({ fields, errors }: BatchReport): string {
  const lines = sorted(fields).map(([name, value]) => `${name}: ${value}\n`)
  return `${lines.join('')}Errors:\n${errors.map(([name, problem]) => `${name}, ${problem}\n`).join('')}`
}

function renderXml({ fields, errors, root }: BatchReport): string {
  const elements = sorted(fields).map(([name, value]) => {
    const element = name.replaceAll(' ', '_').toLowerCase()
    return `<${element}>${escaped(String(value))}</${element}>\n`
  })
  const objects = errors.map(
    ([name, problem]) =>
      `<object><name>${escaped(name)}</name><status>${escaped(problem)}</status></object>\n`,
  )
  return `<${root}>\n${elements.join('')}<errors>\n${objects.join('')}</errors>\n</${root}>\n`
}

function sorted<T>(fields: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
