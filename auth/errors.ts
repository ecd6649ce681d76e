import { ServiceError } from '../common/errors.ts'

/** Keystone's refusals, in its words (keystone/exception.py). */

/** 401: says no more, so that nobody learns whether it was the user or the password. */
export function unauthorized(reason?: string): ServiceError {
  return new ServiceError('Unauthorized', 'The request you have made requires authentication.', {
    status: 401,
    ...(reason !== undefined && { cause: reason }),
  })
}

export function forbidden(message: string): ServiceError {
  return new ServiceError('Forbidden', message, { status: 403 })
}

export function forbiddenAction(action: string): ServiceError {
  return forbidden(`You are not authorized to perform the requested action: ${action}.`)
}

/** `kind` as in "Could not find project: ID." */
export function notFound(kind: string, id: string): ServiceError {
  return new ServiceError('NotFound', `Could not find ${kind}: ${id}.`, { status: 404 })
}

export function invalid(message: string): ServiceError {
  return new ServiceError('Invalid', message, { status: 400 })
}

/** `what` as in "Could not find group ldap in …". */
export function notFoundWhere(what: string, where: string): ServiceError {
  return new ServiceError('NotFound', `Could not find ${what} in ${where}.`, { status: 404 })
}

/** 400: the body lacks something. */
export function expecting(attribute: string, target: string): ServiceError {
  return invalid(
    `Expecting to find ${attribute} in ${target}. The server could not comply with the request since it is ` +
      'either malformed or otherwise incorrect. The client is assumed to be in error.',
  )
}

export function conflict(kind: string, details: string): ServiceError {
  return new ServiceError(
    'Conflict',
    `Conflict occurred attempting to store ${kind} - ${details}.`,
    { status: 409 },
  )
}

export function notImplemented(what: string): ServiceError {
  return new ServiceError('NotImplemented', `${what} is not implemented.`, { status: 501 })
}
