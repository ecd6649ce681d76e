import { ServiceError } from '../../common/errors.ts'
import type { Log } from '../../common/log.ts'
import type { Random } from '../../common/random.ts'
import { readTextFile, replaceFile } from '../../common/whole-file.ts'
import {
  decodeSecretKeys,
  encodeSecretKeys,
  generateSecretKey,
  type SecretKeys,
  withFreshKey,
} from './secret-keys.ts'

/** The keys that secrets in state are sealed with: one file, replaced as a whole, that only its owner may read. */
export class SecretKeyFile {
  readonly #path: string
  readonly #log: Log
  #text: string
  #keys: SecretKeys
  #lost = false

  private constructor(path: string, text: string, log: Log) {
    this.#path = path
    this.#log = log
    this.#text = text
    this.#keys = decodeSecretKeys(text)
  }

  /** Reads the file, which is made with a new key if it is not there. Throws 500 `BadSecretKeys`. */
  static async open(
    path: string,
    { random, log }: { readonly random: Random; readonly log: Log },
  ): Promise<SecretKeyFile> {
    if ((await readTextFile(path)) === null) await writeKeys(path, [generateSecretKey(random)])
    return new SecretKeyFile(path, (await readTextFile(path)) ?? '', log)
  }

  /** The keys now. */
  get keys(): SecretKeys {
    return this.#keys
  }

  /** Looks whether another process has rotated the keys; true if so. What cannot be read leaves those there are. */
  async refresh(): Promise<boolean> {
    try {
      const text = await readTextFile(this.#path)
      if (text === this.#text) return false
      this.#keys = decodeSecretKeys(text ?? '')
      this.#text = text ?? ''
      this.#lost = false
      this.#log.info('secret keys changed', { newest: this.#keys[0].id })
      return true
    } catch (error) {
      if (!this.#lost) this.#log.error('secret keys unreadable, they stay', { error })
      this.#lost = true
      return false
    }
  }
}

/**
 * Puts a fresh key in front; what older ones sealed is sealed anew by the services that follow the file. Throws 404
 * `NoSecretKeys` if there is no file, 500 `BadSecretKeys` if it is none of keys.
 */
export async function rotateSecretKeyFile(path: string, random: Random): Promise<SecretKeys> {
  const text = await readTextFile(path)
  if (text === null) {
    throw new ServiceError('NoSecretKeys', `${path}: there is no such file`, { status: 404 })
  }
  const keys = withFreshKey(decodeSecretKeys(text), generateSecretKey(random))
  await writeKeys(path, keys)
  return keys
}

async function writeKeys(path: string, keys: SecretKeys): Promise<void> {
  await replaceFile(path, encodeSecretKeys(keys), { mode: 0o600 })
}
