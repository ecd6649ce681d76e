import { STATUS_CODES } from 'node:http'
import type { ServiceError } from '../common/errors.ts'

/** A body that is produced while it is sent. */
export interface ReplyStream {
  /** Exactly so many bytes will come; fewer or more is a bug that ends the connection. Null: nobody knows. */
  readonly bytes: number | null
  /** Set: the request's body is read while this one is written. */
  readonly readsBody?: boolean
  pieces(): AsyncIterable<Uint8Array>
  /** Told when a piece has been handed over and may be filled again. */
  recycle?(piece: Uint8Array): void
  /** Frees what is behind it; called once, whatever happened. */
  close(): Promise<void>
}

export type ReplyBody = string | Uint8Array | ReplyStream | null

/** An answer before it is written: handlers return it, `send` puts it on the wire. */
export interface Reply {
  readonly status: number
  /** Name, value, name, value …; values are text (UTF-8 on the wire). Content-Length is not among them. */
  readonly headers: string[]
  readonly body: ReplyBody
  /** The Content-Length to announce where there is no body: of a HEAD. 0 if absent. */
  readonly announcedBytes?: number
  /** Who made a page that is nobody's object. */
  readonly generator?: 'staticweb'
  /** Of a refusal: why, for who asked within the process. */
  readonly cause?: ServiceError
}

export function isStream(body: ReplyBody): body is ReplyStream {
  return body !== null && typeof body === 'object' && 'pieces' in body
}

/** Swift's own reasons where they differ from Node's. */
const REASONS: Readonly<Record<number, string>> = {
  408: 'Request Timeout',
  413: 'Request Entity Too Large',
  416: 'Requested Range Not Satisfiable',
  422: 'Unprocessable Entity',
  497: 'Blacklisted',
  498: 'Rate Limited',
  499: 'Client Disconnect',
  500: 'Internal Error',
}

export function reasonOf(status: number): string {
  return REASONS[status] ?? STATUS_CODES[status] ?? 'Unknown'
}

/** What a page says when the cause has no words of its own. */
const EXPLANATIONS: Readonly<Record<number, string>> = {
  202: 'The request is accepted for processing.',
  400: 'The server could not comply with the request since it is either malformed or otherwise incorrect.',
  401: 'This server could not verify that you are authorized to access the document you requested.',
  403: 'Access was denied to this resource.',
  404: 'The resource could not be found.',
  405: 'The method is not allowed for this resource.',
  406: 'The resource is not available in a format acceptable to your client.',
  408: 'The server has waited too long for the request to be sent by the client.',
  409: 'There was a conflict when trying to complete your request.',
  410: 'This resource is no longer available. No forwarding address is given.',
  411: 'Content-Length header required.',
  412: 'A precondition for this request was not met.',
  413: 'The body of your request was too large for this server.',
  416: 'The Range requested is not available.',
  417: 'Expectation failed.',
  422: 'Unable to process the contained instructions',
  499: 'The client was disconnected during the request.',
  500: 'The server has failed to perform the requested operation.',
  501: 'The requested method is not implemented by this server.',
  503: 'The server is currently unavailable. Please try again at a later time.',
  507: 'There was not enough space to save the resource.',
}

/** What Swift says of a status; empty where it says nothing. */
export function explanationOf(status: number): string {
  return EXPLANATIONS[status] ?? ''
}

const HTML = ['Content-Type', 'text/html; charset=UTF-8'] as const

/** An answer that only has a status: a short page, or nothing for 201, 204 and 304. */
export function statusReply(status: number, headers: readonly string[] = []): Reply {
  const explanation = EXPLANATIONS[status]
  return {
    status,
    headers: [...HTML, ...headers],
    body:
      explanation === undefined
        ? null
        : `<html><h1>${reasonOf(status)}</h1><p>${explanation}</p></html>`,
  }
}

/** Words for people. */
export function textReply(status: number, text: string, headers: readonly string[] = []): Reply {
  return { status, headers: ['Content-Type', 'text/plain; charset=UTF-8', ...headers], body: text }
}

export function jsonReply(status: number, value: unknown, headers: readonly string[] = []): Reply {
  return {
    status,
    headers: ['Content-Type', 'application/json; charset=UTF-8', ...headers],
    body: JSON.stringify(value),
  }
}

/** The value of a header of the reply, or undefined. */
export function replyHeader(reply: Reply, name: string): string | undefined {
  const wanted = name.toLowerCase()
  for (let i = 0; i < reply.headers.length; i += 2) {
    if (reply.headers[i]!.toLowerCase() === wanted) return reply.headers[i + 1]
  }
  return undefined
}

/** Adds a token to the reply's Vary header. */
export function addVary(reply: Reply, token: string): void {
  for (let i = 0; i < reply.headers.length; i += 2) {
    if (reply.headers[i]!.toLowerCase() !== 'vary') continue
    reply.headers[i + 1] += `, ${token}`
    return
  }
  reply.headers.push('Vary', token)
}
