import { ServiceError } from '../../common/errors.ts'
import { notImplemented } from '../errors.ts'
import type { IdentityRoute } from './identity-call.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const
const FEDERATION = ['/v3/OS-FEDERATION/*rest', '/v3/auth/OS-FEDERATION/*rest']
const CERTIFICATES = ['/v3/OS-SIMPLE-CERT/ca', '/v3/OS-SIMPLE-CERT/certificates']

/** What Keystone has and is not here: federation, which is not built, and certificates, which it has given up itself. */
export const absentRoutes: readonly IdentityRoute[] = [
  ...FEDERATION.flatMap((path) =>
    METHODS.map((method): IdentityRoute => ({ method, path, handle: refuseFederation })),
  ),
  ...CERTIFICATES.map(
    (path): IdentityRoute => ({ method: 'GET', path, handle: refuseCertificate }),
  ),
]

function refuseFederation(): never {
  throw notImplemented('Federation')
}

function refuseCertificate(): never {
  throw new ServiceError(
    'Gone',
    'This API is no longer available due to the removal of support for PKI tokens.',
    { status: 410 },
  )
}
