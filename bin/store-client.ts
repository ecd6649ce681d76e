import { request } from 'node:http'
import { request as secureRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import { ServiceError } from '../common/errors.ts'
import { type DataPaths, readCredentials } from './data-folder.ts'
import { readEndpoints } from './endpoints.ts'

/** An answer of the running Swiftlet. */
export interface StoreAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** What goes along with a call. */
export interface StoreRequest {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Over HTTPS: whether a certificate is taken that this machine does not trust. */
export interface TrustOptions {
  readonly insecure?: boolean
}

const TIMEOUT_MS = 60_000

/** Speaks to the Swiftlet that runs on a data folder, as its administrator. */
export class StoreClient {
  readonly #origin: string
  readonly #token: string
  readonly #trust: TrustOptions

  /** Signs in. Throws a ServiceError where there is no Swiftlet or nobody answers. */
  static async open(paths: DataPaths, options: TrustOptions): Promise<StoreClient> {
    const { user, password } = await readCredentials(paths)
    const { objectStore, signIn } = await readEndpoints(paths.endpoints)
    const headers = { 'x-auth-user': user, 'x-auth-key': password }
    const answer = await send(signIn, { ...options, method: 'GET', headers })
    const token = answer.headers['x-auth-token']
    if (answer.status !== 200 || typeof token !== 'string') {
      throw new ServiceError('SignInFailed', `${signIn} refused ${user}: ${answer.status}`)
    }
    return new StoreClient(objectStore, token, options)
  }

  private constructor(origin: string, token: string, trust: TrustOptions) {
    this.#trust = trust
    this.#origin = origin
    this.#token = token
  }

  /** `path` is escaped and begins with a slash. */
  call(method: string, path: string, request: StoreRequest = {}): Promise<StoreAnswer> {
    const { headers, body } = request
    return send(this.#origin + path, {
      ...this.#trust,
      method,
      headers: { ...headers, 'x-auth-token': this.#token },
      ...(body !== undefined && { body }),
    })
  }

  /** The JSON of a GET. Throws a ServiceError `Refused` for any other answer. */
  async get<T>(path: string): Promise<T> {
    const answer = await this.call('GET', path)
    if (answer.status === 200) return JSON.parse(answer.body) as T
    throw new ServiceError('Refused', `${path} was answered with ${answer.status}`, {
      status: answer.status,
    })
  }
}

function send(
  url: string,
  options: TrustOptions & {
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: string
  },
): Promise<StoreAnswer> {
  const isSecure = url.startsWith('https:')
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(
        new ServiceError('NotRunning', `no Swiftlet answers at ${url}: ${cause.message}`, {
          cause,
        }),
      )
    const whole = {
      method: options.method,
      headers: options.headers,
      timeout: TIMEOUT_MS,
      ...(isSecure && options.insecure === true && { rejectUnauthorized: false }),
    }
    const call = (isSecure ? secureRequest : request)(url, whole, (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode!, headers: response.headers, body }),
        fail,
      )
    })
    call.on('timeout', () => call.destroy(new Error('no answer')))
    call.on('error', fail)
    call.end(options.body)
  })
}
