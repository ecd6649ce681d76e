import { stat } from 'node:fs/promises'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import { readTextFile } from '../common/whole-file.ts'
import type { Keymaster } from '../proxy/encryption/keymaster.ts'
import { parseRootSecrets, type RootSecrets } from '../proxy/encryption/root-secrets.ts'

/** Bits of a file's mode by which others than its owner could read it. */
const OTHERS = 0o077

/** Root secrets in a file that only its owner may be able to read. */
export class KeyFile implements Keymaster {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async rootSecrets(): Promise<RootSecrets> {
    const mode = await modeOf(this.#path)
    if (mode === null) throw bad(`${this.#path}: there is no such file`)
    if ((mode & OTHERS) !== 0) {
      throw bad(`${this.#path}: only its owner may be able to read it (chmod 600)`)
    }
    return parseRootSecrets((await readTextFile(this.#path)) ?? '')
  }
}

async function modeOf(file: string): Promise<number | null> {
  try {
    return (await stat(file)).mode
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null
    throw error
  }
}

function bad(message: string): ServiceError {
  return new ServiceError('BadKeyFile', message, { status: 400 })
}
