/** The secrets that all keys come from, as their file has them. */
import { ServiceError } from '../../common/errors.ts'

/** Below this a secret could be guessed. */
const SECRET_BYTES_MIN = 32
const ID = /^[A-Za-z0-9_-]{1,64}$/

export interface RootSecrets {
  /** What is written now is written under this one. */
  readonly active: string
  /** By their ids; those of old data stay. */
  readonly secrets: ReadonlyMap<string, Uint8Array>
}

/**
 * Reads `{"active": "2026", "secrets": {"2026": "base64 of 32 bytes or more", …}}`. What is wrong is told without any of the
 * text.
 */
export function parseRootSecrets(text: string): RootSecrets {
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch {
    throw bad('is no JSON')
  }
  if (typeof file !== 'object' || file === null) throw bad('is no object')
  const { active, secrets } = file as { readonly active?: unknown; readonly secrets?: unknown }
  if (typeof active !== 'string') throw bad('names no active secret')
  if (typeof secrets !== 'object' || secrets === null) throw bad('has no secrets')
  const parsed = new Map<string, Uint8Array>()
  for (const [id, value] of Object.entries(secrets)) {
    if (!ID.test(id)) throw bad('has an id of other than 1 to 64 letters, digits, _ and -')
    const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64')
    if (bytes.length < SECRET_BYTES_MIN)
      throw bad(`has less than ${SECRET_BYTES_MIN} bytes as ${id}`)
    parsed.set(id, bytes)
  }
  if (!parsed.has(active)) throw bad('has no secret of the active id')
  return { active, secrets: parsed }
}

function bad(what: string): ServiceError {
  return new ServiceError('BadKeyFile', `the key file ${what}`)
}
