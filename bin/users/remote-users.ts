import { readFileSync } from 'node:fs'
import { systemClock as clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import { IdentityHttp, type IdentityRequest } from '../../common/identity-client/identity-http.ts'
import { ServiceSession } from '../../common/identity-client/service-session.ts'
import { type DataPaths, readCredentials } from '../data-folder.ts'
import { readEndpoints } from '../endpoints.ts'
import { allRoles } from './state-users.ts'
import type { AddedUser, ListedUser, UserBook } from './user-book.ts'

const PATH = '/v3/OS-SWIFTLET/store-users'

/** The identity service of a Swiftlet that runs, asked as its administrator. */
export class RemoteUsers implements UserBook {
  readonly #http: IdentityHttp
  readonly #session: ServiceSession

  private constructor(http: IdentityHttp, session: ServiceSession) {
    this.#http = http
    this.#session = session
  }

  static async open(paths: DataPaths): Promise<RemoteUsers> {
    const { identity } = await readEndpoints(paths.endpoints)
    if (identity === undefined) {
      throw new ServiceError('NotReady', `${paths.folder} is just being started`, { status: 503 })
    }
    const certificate = certificateOf(paths)
    const http = new IdentityHttp({
      url: identity,
      clock,
      ...(certificate !== undefined && { certificate }),
    })
    const session = new ServiceSession({
      http,
      clock,
      async credentials() {
        const { user, password } = await readCredentials(paths)
        const [project, name] = user.split(':') as [string, string]
        return { user: name, password, project }
      },
    })
    return new RemoteUsers(http, session)
  }

  async list(): Promise<readonly ListedUser[]> {
    const body = await this.#ask({ method: 'GET', path: PATH })
    return (body as { readonly store_users: readonly ListedUser[] }).store_users
  }

  async add({ name, key, groups, roles, account }: AddedUser): Promise<void> {
    const user = { name, key, roles: allRoles(groups, roles), ...(account && { account }) }
    await this.#ask({ method: 'POST', path: PATH, body: { store_user: user } })
  }

  async remove(name: string): Promise<void> {
    await this.#ask({ method: 'DELETE', path: `${PATH}/${encodeURIComponent(name)}` })
  }

  async setKey(name: string, key: string): Promise<void> {
    const path = `${PATH}/${encodeURIComponent(name)}/key`
    await this.#ask({ method: 'PUT', path, body: { store_user: { key } } })
  }

  async close(): Promise<void> {
    this.#http.close()
  }

  async #ask(request: IdentityRequest): Promise<unknown> {
    const { status, body } = await this.#session.send(request)
    if (status < 300) return body
    const said = (body as { readonly error?: { readonly message?: string } } | null)?.error
    throw new ServiceError('Refused', said?.message ?? `answered ${status}`, { status })
  }
}

/** The certificate that `up` was started with, if it speaks HTTPS: clouds.yaml names it. */
function certificateOf(paths: DataPaths): string | undefined {
  const path = /^ {4}cacert: (".*")$/m.exec(readFileSync(paths.clouds, 'utf8'))?.[1]
  return path === undefined ? undefined : readFileSync(JSON.parse(path) as string, 'utf8')
}
