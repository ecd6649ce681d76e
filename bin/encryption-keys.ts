import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import { readTextFile } from '../common/whole-file.ts'
import { parseRootSecrets, type RootSecrets } from '../proxy/encryption/root-secrets.ts'
import type { DataPaths } from './data-folder.ts'
import type { Settings } from './settings.ts'

/** Bits of a file's mode by which others than its owner could read it. */
const OTHERS = 0o077

/** The secrets in the key file that the settings name; undefined without one: nothing is enciphered. */
export async function readRootSecrets(
  { encryptionKeyFile }: Pick<Settings, 'encryptionKeyFile'>,
  paths: Pick<DataPaths, 'settings'>,
): Promise<RootSecrets | undefined> {
  return encryptionKeyFile === undefined ? undefined : readKeyFile(encryptionKeyFile, paths)
}

/** Those for objects whose clients ask for encryption by S3; undefined: they are told that there are none. */
export async function readS3Keys(
  { s3 }: Pick<Settings, 's3'>,
  paths: Pick<DataPaths, 'settings'>,
): Promise<RootSecrets | undefined> {
  return s3?.keyFile === undefined ? undefined : readKeyFile(s3.keyFile, paths)
}

async function readKeyFile(name: string, paths: Pick<DataPaths, 'settings'>): Promise<RootSecrets> {
  const file = resolve(dirname(paths.settings), name)
  const mode = await modeOf(file)
  if (mode === null) throw bad(`${file}: there is no such file`)
  if ((mode & OTHERS) !== 0) throw bad(`${file}: only its owner may be able to read it (chmod 600)`)
  return parseRootSecrets((await readTextFile(file)) ?? '')
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
