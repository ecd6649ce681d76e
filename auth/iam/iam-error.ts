import { ServiceError } from '../../common/errors.ts'

/** Refusals in AWS's words; clients tell them apart by the code. */

export function noSuchEntity(what: string): ServiceError {
  return new ServiceError('NoSuchEntity', `${what} cannot be found.`, { status: 404 })
}

export function entityExists(what: string): ServiceError {
  return new ServiceError('EntityAlreadyExists', `${what} already exists.`, { status: 409 })
}

export function deleteConflict(why: string): ServiceError {
  return new ServiceError('DeleteConflict', `Cannot delete entity, ${why}.`, { status: 409 })
}

export function limitExceeded(what: string): ServiceError {
  return new ServiceError('LimitExceeded', `Cannot exceed quota for ${what}.`, { status: 409 })
}

/** What is given contradicts itself. */
export function invalidInput(message: string): ServiceError {
  return new ServiceError('InvalidInput', message, { status: 400 })
}

export function validationError(message: string): ServiceError {
  return new ServiceError('ValidationError', message, { status: 400 })
}

export function malformedDocument(message: string): ServiceError {
  return new ServiceError('MalformedPolicyDocument', message, { status: 400 })
}

export function accessDenied(who: string, action: string, resource: string): ServiceError {
  const message = `User: ${who} is not authorized to perform: ${action} on resource: ${resource}`
  return new ServiceError('AccessDenied', message, { status: 403 })
}

/** The key is none, or good no longer. */
export function unknownKey(): ServiceError {
  const message = 'The security token included in the request is invalid.'
  return new ServiceError('InvalidClientTokenId', message, { status: 403 })
}

export function invalidToken(): ServiceError {
  return new ServiceError('InvalidToken', 'The provided token is malformed or otherwise invalid.', {
    status: 400,
  })
}

export function expiredToken(): ServiceError {
  return new ServiceError('ExpiredToken', 'The provided token has expired.', { status: 400 })
}

export function invalidIdentityToken(why: string): ServiceError {
  return new ServiceError('InvalidIdentityToken', why, { status: 400 })
}
