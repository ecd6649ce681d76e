import { ServiceError, systemErrorCode } from '../errors.ts'

/** Another transaction was in the way: to be run again (serialization_failure, deadlock_detected). */
const CONFLICTS = ['40001', '40P01']
/** A lock was not given in time, or a statement took too long. */
const TOO_SLOW = ['55P03', '57014']
/** Classes of what the server may get over: connections, resources, operator's intervention, its system, its data files. */
const UNAVAILABLE_CLASSES = ['08', '25P', '28', '3D', '53', '57', '58', 'XX']

export function isConflict(error: unknown): boolean {
  return CONFLICTS.includes(systemErrorCode(error) ?? '')
}

/**
 * What a failure of PostgreSQL or of the way to it is to the caller: 503, with the driver's error as its cause. An error
 * in a statement of ours stays what it is.
 */
export function postgresFailure(error: unknown): unknown {
  if (error instanceof ServiceError) return error
  const code = systemErrorCode(error) ?? ''
  if (CONFLICTS.includes(code)) return later('Busy', 'too many changes of the same rows', error)
  if (TOO_SLOW.includes(code)) return later('Busy', 'PostgreSQL takes too long', error)
  const isStatement = /^[0-9A-Z]{5}$/.test(code)
  if (isStatement && !UNAVAILABLE_CLASSES.some((name) => code.startsWith(name))) return error
  return stateUnavailable((error as Error).message, error)
}

export function stateUnavailable(why: string, cause?: unknown): ServiceError {
  return later('StateUnavailable', `the state cannot be used: ${why}`, cause)
}

function later(code: string, message: string, cause?: unknown): ServiceError {
  return new ServiceError(code, message, { status: 503, retryAfterSeconds: 1, cause })
}
