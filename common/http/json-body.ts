import type { IncomingMessage } from 'node:http'
import { ServiceError } from '../errors.ts'

export type JsonObject = Readonly<Record<string, unknown>>

const NOTHING: JsonObject = Object.freeze({})

/**
 * A request's JSON body, which has to be an object; an empty object if there is no body. Throws 413 for more than
 * `bytesMax`, 400 for what is not JSON, not UTF-8 or holds a NUL (which no engine of state keeps).
 */
export async function readJsonBody(req: IncomingMessage, bytesMax: number): Promise<JsonObject> {
  const announced = Number(req.headers['content-length'] ?? 0)
  if (announced > bytesMax) throw tooLong(bytesMax)
  const bytes = await readBytes(req, bytesMax)
  return bytes.length === 0 ? NOTHING : parseJsonObject(bytes)
}

async function readBytes(req: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of req as AsyncIterable<Buffer>) {
      length += part.length
      if (length > bytesMax) throw tooLong(bytesMax)
      parts.push(part)
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error
    // The client went away, was too slow or sent rubbish: nobody waits for the answer.
    const message = 'The request body could not be read.'
    throw new ServiceError('BodyLost', message, { status: 400, cause: error })
  }
  return Buffer.concat(parts)
}

function parseJsonObject(bytes: Uint8Array): JsonObject {
  let value: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    value = JSON.parse(text)
  } catch {
    throw new ServiceError('BadJson', 'The request body is not valid JSON.', { status: 400 })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ServiceError('BadJson', 'The request body must be a JSON object.', { status: 400 })
  }
  // In the text it stands as an escape, if at all.
  if (bytes.includes(0x5c) && hasNul(value)) {
    throw new ServiceError('BadJson', 'The request body holds a NUL character.', { status: 400 })
  }
  return value as JsonObject
}

function hasNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\u0000')
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([name, inner]) => name.includes('\u0000') || hasNul(inner))
}

function tooLong(bytesMax: number): ServiceError {
  return new ServiceError('BodyTooLong', `Request is too large: at most ${bytesMax} bytes.`, {
    status: 413,
  })
}
