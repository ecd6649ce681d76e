import type { ApiAnswer, IdentityRig } from './identity-rig.ts'

/** A user with its password. */
export interface Person {
  readonly id: string
  readonly name: string
  readonly password: string
}

/** Makes projects, users and what they may do, as the administrator. */
export class IdentityPeople {
  readonly #rig: IdentityRig
  readonly #roleIds = new Map<string, string>()

  constructor(rig: IdentityRig) {
    this.#rig = rig
  }

  /** The id of a resource made by `POST`. Throws unless it is a 201. */
  async make(kind: string, values: Readonly<Record<string, unknown>>): Promise<string> {
    const answer = await this.#rig.call('POST', `/v3/${kind}s`, { body: { [kind]: values } })
    if (answer.status !== 201) throw new Error(`${kind}: ${JSON.stringify(answer.body)}`)
    return answer.body[kind].id
  }

  domain(name: string): Promise<string> {
    return this.make('domain', { name })
  }

  project(name: string, domainId = 'default', parentId?: string): Promise<string> {
    return this.make('project', { name, domain_id: domainId, parent_id: parentId })
  }

  async user(name: string, domainId = 'default'): Promise<Person> {
    const password = `the password of ${name}`
    const id = await this.make('user', { name, password, domain_id: domainId })
    return { id, name, password }
  }

  /** The id of a role of no domain. */
  async role(name: string): Promise<string> {
    const known = this.#roleIds.get(name)
    if (known !== undefined) return known
    const found = await this.#rig.call('GET', `/v3/roles?name=${name}`)
    const id: string = found.body.roles[0]?.id ?? (await this.make('role', { name }))
    this.#roleIds.set(name, id)
    return id
  }

  /** Grants a role: `on` is `projects/ID`, `domains/ID` or `system`. */
  async grant(user: Pick<Person, 'id'>, roleName: string, on: string): Promise<void> {
    await this.#grant('PUT', user, { roleName, on })
  }

  /** Takes a grant away. */
  async revoke(user: Pick<Person, 'id'>, roleName: string, on: string): Promise<void> {
    await this.#grant('DELETE', user, { roleName, on })
  }

  /** A token of the user for a scope. Throws unless there is one. */
  token(user: Person, scope: unknown): Promise<string> {
    return this.#rig.token(scope, { id: user.id, password: user.password })
  }

  async #grant(
    method: string,
    user: Pick<Person, 'id'>,
    { roleName, on }: { readonly roleName: string; readonly on: string },
  ): Promise<void> {
    const path = `/v3/${on}/users/${user.id}/roles/${await this.role(roleName)}`
    const answer: ApiAnswer = await this.#rig.call(method, path)
    if (answer.status !== 204) throw new Error(`grant: ${JSON.stringify(answer.body)}`)
  }
}
