import { parseConfig } from '../common/config.ts'
import { replaceFile } from '../common/whole-file.ts'

/** The administrator as `swiftlet env` prints it. */
export interface Credentials {
  /** `account:name`. */
  readonly user: string
  readonly password: string
  /** The first project's storage account. */
  readonly account: string
}

/** The first user: administrator of the cluster and of the first project. */
export const FIRST_USER = 'admin:admin'

/** Throws a 400 `BadConfig`. */
export function parseCredentials(text: string, path: string): Credentials {
  const config = parseConfig(text, path)
  return {
    user: config.text('user'),
    password: config.text('password'),
    account: config.text('account'),
  }
}

/** Replaces the file durably; only the owner may read it. */
export async function saveCredentials(path: string, credentials: Credentials): Promise<void> {
  await replaceFile(path, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 })
}
