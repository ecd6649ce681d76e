/** What tests ask of a running identity service as its administrator. */
export interface KeystoneAdmin {
  /** The body of the answer; throws unless it was a success. */
  call(method: string, path: string, body?: unknown): Promise<KeystoneBody>
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every form.
export type KeystoneBody = any

/** How one signs in: what `swiftlet env` prints. */
export interface KeystoneAdminLogin {
  /** With `/v3`. */
  readonly url: string
  readonly user: string
  readonly password: string
  /** Absent: to the system. */
  readonly project?: string
}

const DOMAIN = { id: 'default' }

/** Signs in with a password. */
export async function openKeystoneAdmin(login: KeystoneAdminLogin): Promise<KeystoneAdmin> {
  const { url, user, password, project } = login
  const answer = await send(url, {
    method: 'POST',
    path: '/auth/tokens',
    body: {
      auth: {
        identity: {
          methods: ['password'],
          password: { user: { name: user, domain: DOMAIN, password } },
        },
        scope:
          project === undefined
            ? { system: { all: true } }
            : { project: { name: project, domain: DOMAIN } },
      },
    },
  })
  const token = answer.headers.get('x-subject-token')!
  return {
    async call(method, path, body) {
      const { status, text } = await bodyOf(send(url, { method, path, body, token }))
      return status === 204 || text === '' ? undefined : JSON.parse(text)
    },
  }
}

interface KeystoneRequest {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly token?: string
}

async function send(
  url: string,
  { method, path, body, token }: KeystoneRequest,
): Promise<Response> {
  const response = await fetch(url + path, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(token !== undefined && { 'x-auth-token': token }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (!response.ok)
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return response
}

async function bodyOf(
  answer: Promise<Response>,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await answer
  return { status: response.status, text: await response.text() }
}

/** The id of what has this name (and domain), which is made if it is not there. */
export async function ensureItem(
  keystone: KeystoneAdmin,
  kind: 'domain' | 'project' | 'user' | 'role',
  fields: Readonly<Record<string, string>>,
): Promise<string> {
  const { name, domain_id } = fields
  const query = new URLSearchParams({ name: name!, ...(domain_id && { domain_id }) })
  const [found] = (await keystone.call('GET', `/${kind}s?${query}`))[`${kind}s`]
  return (found ?? (await keystone.call('POST', `/${kind}s`, { [kind]: fields }))[kind]).id
}

/** A user with a project of his own and a key for S3. */
export interface S3User {
  readonly userId: string
  readonly projectId: string
  /** Of the project, with the usual prefix. */
  readonly account: string
  readonly accessKey: string
  readonly secretKey: string
}

/** Makes a user, gives him the role on a project (made if it is not there), and an access key. */
export async function makeS3User(
  keystone: KeystoneAdmin,
  user: {
    readonly name: string
    readonly project: string
    readonly email?: string
    readonly role?: string
  },
): Promise<S3User> {
  const { name, email, role = 'member' } = user
  const projectFields = { name: user.project, domain_id: 'default' }
  const projectId = await ensureItem(keystone, 'project', projectFields)
  const made = await keystone.call('POST', '/users', {
    user: { name, domain_id: 'default', ...(email !== undefined && { email }) },
  })
  const { roles } = await keystone.call('GET', `/roles?name=${role}`)
  await keystone.call('PUT', `/projects/${projectId}/users/${made.user.id}/roles/${roles[0].id}`)
  const path = `/users/${made.user.id}/credentials/OS-EC2`
  const { credential } = await keystone.call('POST', path, { tenant_id: projectId })
  return {
    userId: made.user.id,
    projectId,
    account: `AUTH_${projectId}`,
    accessKey: credential.access,
    secretKey: credential.secret,
  }
}
