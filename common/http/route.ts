import type { JsonObject } from './json-body.ts'

/** A request of a REST service, read whole; `C` is what the service adds to it. */
export interface Call<C> {
  readonly method: string
  /** As the client sent it, without the query. */
  readonly path: string
  /** Named parts of the route's path, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** An empty object where there is none. */
  readonly body: JsonObject
  /** The header's value; empty if it was not sent. */
  header(name: string): string
  /** Where the client reached the service: `http://127.0.0.1:5000`. */
  readonly baseUrl: string
  readonly requestId: string
  /** The address that the connection came from. */
  readonly remoteAddress: string
  readonly context: C
}

export interface Answer {
  readonly status: number
  /** Sent as JSON, but for bytes, which are sent as they are with the `Content-Type` of the headers; nothing if absent. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** One call of a service's API. */
export interface Route<C> {
  /** A GET answers HEAD too. */
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** With named parts: `/v3/projects/:id`. */
  readonly path: string
  readonly handle: (call: Call<C>) => Answer | Promise<Answer>
}

export const NO_CONTENT: Answer = Object.freeze({ status: 204 })

/** 200 with a body. */
export function ok(body: unknown): Answer {
  return { status: 200, body }
}

/** 201 with a body. */
export function created(body: unknown): Answer {
  return { status: 201, body }
}
