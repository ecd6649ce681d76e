import { ServiceError } from '../errors.ts'
import type { IdentityHttp } from './identity-http.ts'
import { unavailable } from './identity-http.ts'

/** Of a 429 that does not say when to come again. */
const RETRY_AFTER_SECONDS = 60

/** Who signs in, by names. */
export interface PasswordCredentials {
  readonly user: string
  readonly password: string
  /** The domain of user and project: `Default` unless said otherwise. */
  readonly domain?: string
  readonly project: string
}

/** What a sign-in gives. */
export interface IssuedToken {
  readonly token: string
  readonly expiresAtMs: number
  readonly projectId: string
}

/**
 * Signs in by password for a project. Null if the two do not match, or the user has no role on the project. Throws 503
 * `IdentityUnavailable` if that cannot be told.
 */
export async function signInByPassword(
  http: IdentityHttp,
  credentials: PasswordCredentials,
): Promise<IssuedToken | null> {
  const { user: name, password, project, domain = 'Default' } = credentials
  const user = { name, password, domain: { name: domain } }
  const answer = await http.send({
    method: 'POST',
    path: '/v3/auth/tokens?nocatalog',
    body: {
      auth: {
        identity: { methods: ['password'], password: { user } },
        scope: { project: { name: project, domain: { name: domain } } },
      },
    },
  })
  if (answer.status === 429) {
    throw new ServiceError('TooManyFailures', 'too many wrong keys for this user; wait', {
      status: 429,
      retryAfterSeconds: Number(answer.header('retry-after')) || RETRY_AFTER_SECONDS,
    })
  }
  // 400: names that nobody can have. 403: a password that is over, or locked.
  if ([400, 401, 403].includes(answer.status)) return null
  const issued =
    answer.status === 201 ? issuedOf(answer.header('x-subject-token'), answer.body) : null
  if (issued === null) throw unavailable(`a sign-in is answered ${answer.status}`)
  return issued
}

function issuedOf(token: string | null, body: unknown): IssuedToken | null {
  const said = (body as { readonly token?: unknown } | null)?.token as
    | { readonly expires_at?: unknown; readonly project?: { readonly id?: unknown } }
    | undefined
  const expiresAtMs = Date.parse(String(said?.expires_at))
  const projectId = said?.project?.id
  if (token === null || Number.isNaN(expiresAtMs) || typeof projectId !== 'string') return null
  return { token, expiresAtMs, projectId }
}
