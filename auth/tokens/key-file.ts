import type { Clock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Log } from '../../common/log.ts'
import {
  decodeKeySet,
  encodeKeySet,
  publishedKeys,
  rotated,
  type TokenKeySet,
} from '../../common/token/key-set.ts'
import {
  generateTokenKey,
  importSigningKey,
  importVerifyingKeys,
  type Jwks,
  type SigningKey,
  type VerifyingKeys,
} from '../../common/token/token-keys.ts'
import { readTextFile, replaceFile } from '../../common/whole-file.ts'

export interface KeyFileOptions {
  readonly clock: Clock
  readonly log: Log
  /** How often the file is looked at: keys may be rotated by another process. */
  readonly pollMs?: number
}

const DEFAULTS = { pollMs: 1000 } satisfies Partial<KeyFileOptions>

/** The keys of a file, ready for use. */
export interface LoadedKeys {
  readonly signing: SigningKey
  readonly verifying: VerifyingKeys
  readonly published: Jwks
}

/** The keys that sign tokens: one file, replaced as a whole, that only its owner may read. Followed while it changes. */
export class KeyFile {
  readonly #path: string
  readonly #options: Required<KeyFileOptions>
  #text: string
  #keys: LoadedKeys
  #cancel: () => void = () => {}
  #closed = false
  #lost = false

  private constructor(path: string, read: ReadKeys, options: Required<KeyFileOptions>) {
    this.#path = path
    this.#text = read.text
    this.#keys = read.keys
    this.#options = options
  }

  /** Reads the file, which is made with new keys if it is not there, and follows it. Throws 500 `BadTokenKeys`. */
  static async open(path: string, options: KeyFileOptions): Promise<KeyFile> {
    if ((await readTextFile(path)) === null) {
      const [primary, staged] = [await generateTokenKey(), await generateTokenKey()]
      await writeKeys(path, { primary, staged, secondaries: [] })
    }
    const file = new KeyFile(path, await load((await readTextFile(path)) ?? ''), {
      ...DEFAULTS,
      ...options,
    })
    file.#schedule()
    return file
  }

  /** The keys now. */
  get keys(): LoadedKeys {
    return this.#keys
  }

  /** Looks at the file now rather than in a moment. Keys that cannot be read leave those there are. */
  async refresh(): Promise<void> {
    try {
      const text = await readTextFile(this.#path)
      if (text === this.#text) return
      if (text === null) throw new Error('the file is gone')
      const { keys } = await load(text)
      this.#text = text
      this.#keys = keys
      this.#lost = false
      this.#options.log.info('token keys changed', { primary: keys.signing.id })
    } catch (error) {
      if (!this.#lost) this.#options.log.error('token keys unreadable, they stay', { error })
      this.#lost = true
    }
  }

  /** Stops following; idempotent. */
  close(): void {
    this.#closed = true
    this.#cancel()
  }

  #schedule(): void {
    if (this.#closed) return
    this.#cancel = this.#options.clock.after(this.#options.pollMs, () => {
      void this.refresh().then(() => this.#schedule())
    })
  }
}

/** Makes the staged key of a file the primary one. Throws 404 `NoTokenKeys` if there is none, 500 `BadTokenKeys`. */
export async function rotateKeyFile(path: string): Promise<TokenKeySet> {
  const text = await readTextFile(path)
  if (text === null) {
    const message = `${path}: no identity service was started here yet`
    throw new ServiceError('NoTokenKeys', message, { status: 404 })
  }
  const keys = rotated(decodeKeySet(text), await generateTokenKey())
  await writeKeys(path, keys)
  return keys
}

interface ReadKeys {
  readonly text: string
  readonly keys: LoadedKeys
}

async function writeKeys(path: string, keys: TokenKeySet): Promise<void> {
  await replaceFile(path, encodeKeySet(keys), { mode: 0o600 })
}

async function load(text: string): Promise<ReadKeys> {
  const set = decodeKeySet(text)
  const published = publishedKeys(set)
  return {
    text,
    keys: {
      signing: await importSigningKey(set.primary),
      verifying: await importVerifyingKeys(published),
      published,
    },
  }
}
