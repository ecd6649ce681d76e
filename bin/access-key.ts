/** The administrator's keys for S3, as identity keeps them. */
import fetch, { type Response } from 'node-fetch'
import { ServiceError } from '../common/errors.ts'
import type { Credentials } from './credentials.ts'

export interface AccessKey {
  readonly access: string
  readonly secret: string
}

const TIMEOUT_MS = 10_000

/**
 * Those that the administrator has for the first project; made if there are none. `identity` is the service's URL without `/v3`.
 * Throws a ServiceError that says what it was answered. https://docs.openstack.org/api-ref/identity/v3-ext/ (OS-EC2)
 */
export async function accessKeyOf(identity: string, credentials: Credentials): Promise<AccessKey> {
  const { token, userId, projectId } = await signIn(identity, credentials)
  const url = `${identity}/v3/users/${userId}/credentials/OS-EC2`
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
  const list = await ask(url, { headers })
  const { credentials: known } = (await list.json()) as { readonly credentials: readonly Key[] }
  const own = known.find(({ tenant_id: tenant }) => tenant === projectId)
  if (own !== undefined) return own
  const body = JSON.stringify({ tenant_id: projectId })
  const made = await ask(url, { method: 'POST', headers, body })
  return ((await made.json()) as { readonly credential: Key }).credential
}

interface Key extends AccessKey {
  readonly tenant_id: string
}

async function signIn(identity: string, { user, password }: Credentials) {
  const [project, name] = user.split(':')
  const domain = { id: 'default' }
  const methods = { methods: ['password'], password: { user: { name, domain, password } } }
  const auth = { identity: methods, scope: { project: { name: project, domain } } }
  const answer = await ask(`${identity}/v3/auth/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ auth }),
  })
  const { token } = (await answer.json()) as {
    readonly token: {
      readonly user: { readonly id: string }
      readonly project: { readonly id: string }
    }
  }
  return {
    token: answer.headers.get('x-subject-token') ?? '',
    userId: token.user.id,
    projectId: token.project.id,
  }
}

async function ask(url: string, request: Parameters<typeof fetch>[1]): Promise<Response> {
  const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (answer.ok) return answer
  throw new ServiceError('Refused', `${url} was answered with ${answer.status}`, {
    status: answer.status,
  })
}
