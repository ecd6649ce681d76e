import { swiftletEnv } from '../support/swiftlet-command.ts'

/** The first user of a Swiftlet, at its identity service. */
export class KeystoneAdmin {
  readonly #url: string
  readonly #token: string

  private constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  /** Signs in with what `swiftlet env` prints. */
  static async signIn(data: string): Promise<KeystoneAdmin> {
    const env = await swiftletEnv(data)
    const url = env.OS_AUTH_URL!.replace(/\/$/, '')
    const user = {
      name: env.OS_USERNAME,
      password: env.OS_PASSWORD,
      domain: { name: env.OS_USER_DOMAIN_NAME ?? 'Default' },
    }
    const response = await fetch(`${url}/auth/tokens`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        auth: {
          identity: { methods: ['password'], password: { user } },
          scope: { system: { all: true } },
        },
      }),
    })
    const token = response.headers.get('x-subject-token')
    if (token === null) throw new Error(`sign-in: ${response.status} ${await response.text()}`)
    return new KeystoneAdmin(url, token)
  }

  /** The id of what has this name (and domain), which is made if it is not there. */
  async ensure(
    kind: 'domain' | 'project' | 'user' | 'role',
    fields: Readonly<Record<string, string>>,
  ): Promise<string> {
    const { name, domain_id } = fields
    const query = new URLSearchParams({ name: name!, ...(domain_id && { domain_id }) })
    const found = (await this.send('GET', `/${kind}s?${query}`)) as Lists
    const id = found[`${kind}s`]?.[0]?.id
    if (id !== undefined) return id
    const made = (await this.send('POST', `/${kind}s`, { [kind]: fields })) as Items
    return made[kind]!.id
  }

  /** The answer's JSON, or null; throws for anything but a 2xx. */
  async send(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(this.#url + path, {
      method,
      headers: { 'X-Auth-Token': this.#token, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }
}

interface Item {
  readonly id: string
}
type Items = Readonly<Record<string, Item>>
type Lists = Readonly<Record<string, readonly Item[]>>
