import { ServiceError } from '../../common/errors.ts'

/** Seconds a client is asked to wait when there is no quorum. */
const RETRY_AFTER_SECONDS = 5

/** Too few replicas answered; whether anything was written is in `message`. */
export function noQuorum(message: string, cause?: unknown): ServiceError {
  return new ServiceError('NoQuorum', message, {
    status: 503,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
    ...(cause === undefined ? {} : { cause }),
  })
}

export function devicesFull(cause?: unknown): ServiceError {
  return new ServiceError('DeviceFull', 'the devices of this partition are full', {
    status: 507,
    ...(cause === undefined ? {} : { cause }),
  })
}

export function noSuchContainer(): ServiceError {
  return new ServiceError('NoSuchContainer', 'the container does not exist', { status: 404 })
}

/** The container was deleted and made again with another storage policy while its object was written. */
export function containerRemade(): ServiceError {
  return new ServiceError('ContainerRemade', 'the container has another storage policy by now', {
    status: 503,
    retryAfterSeconds: 1,
  })
}

export function noSuchAccount(): ServiceError {
  return new ServiceError('NoSuchAccount', 'the account does not exist', { status: 404 })
}

/** What a device or the way to it says about itself. */
const DEVICE_CODES = new Set([
  'UnknownDevice',
  'DeviceOffline',
  'Unreachable',
  'NoAnswer',
  'Unauthorized',
  'StampAhead',
  'Learning',
  'Busy',
])

/**
 * A device's own failure as the client may see it: that a device is unknown or refuses the proxy is no 404 or 401 of
 * the client's. Everything else passes as it is.
 */
export function asBackendError(error: unknown): unknown {
  if (!(error instanceof ServiceError) || !DEVICE_CODES.has(error.code)) return error
  return new ServiceError(error.code, error.message, {
    status: 503,
    cause: error,
    retryAfterSeconds: error.retryAfterSeconds ?? RETRY_AFTER_SECONDS,
  })
}
