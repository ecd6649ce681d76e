import { ServiceError, systemErrorCode } from '../../common/errors.ts'

/** The ServiceError for a failed write. */
export function deviceError(cause: unknown): ServiceError {
  if (cause instanceof ServiceError) return cause
  const isFull = ['ENOSPC', 'EDQUOT'].includes(systemErrorCode(cause) ?? '')
  return isFull
    ? new ServiceError('DeviceFull', 'no space left on the device', { status: 507, cause })
    : new ServiceError('DeviceFailed', 'the device failed', { status: 503, cause })
}
