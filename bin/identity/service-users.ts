import { randomKey } from '../../auth/user-edit.ts'
import { ServiceError } from '../../common/errors.ts'
import type { Random } from '../../common/random.ts'
import { readTextFile, replaceFile } from '../../common/whole-file.ts'

/** Services that have a user of their own in project `service`, by the user's name. */
export const SERVICE_USERS = ['swift'] as const

export interface ServiceUser {
  readonly name: string
  readonly password: string
}

/** The users of a file `{"swift": "password"}`. Throws 404 `NoServiceUsers`, 500 `BadServiceUsers`. */
export async function readServiceUsers(path: string): Promise<readonly ServiceUser[]> {
  const text = await readTextFile(path)
  if (text === null) {
    throw new ServiceError('NoServiceUsers', `${path}: there is no such file`, { status: 404 })
  }
  return parseServiceUsers(text, path)
}

/** The password of one of them. Throws as readServiceUsers does, and 404 `NoServiceUsers` if it is not in the file. */
export async function servicePassword(path: string, name: string): Promise<string> {
  const user = (await readServiceUsers(path)).find((one) => one.name === name)
  if (user !== undefined) return user.password
  throw new ServiceError('NoServiceUsers', `${path}: there is no user ${name}`, { status: 404 })
}

/** The users of a file, which is made or completed with random passwords; only its owner may read it. */
export async function ensureServiceUsers(
  path: string,
  random: Random,
): Promise<readonly ServiceUser[]> {
  const text = await readTextFile(path)
  const there = text === null ? [] : parseServiceUsers(text, path)
  const missing = SERVICE_USERS.filter((name) => !there.some((user) => user.name === name))
  if (missing.length === 0) return there
  const users = [...there, ...missing.map((name) => ({ name, password: randomKey(random) }))]
  const byName = Object.fromEntries(users.map(({ name, password }) => [name, password]))
  await replaceFile(path, `${JSON.stringify(byName, null, 2)}\n`, { mode: 0o600 })
  return users
}

function parseServiceUsers(text: string, path: string): readonly ServiceUser[] {
  try {
    const entries = Object.entries(JSON.parse(text) as Readonly<Record<string, unknown>>)
    if (entries.every(([, password]) => typeof password === 'string' && password !== '')) {
      return entries.map(([name, password]) => ({ name, password: password as string }))
    }
  } catch {
    // Said below.
  }
  throw new ServiceError('BadServiceUsers', `${path}: not an object of names and passwords`)
}
