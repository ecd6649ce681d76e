import { dirname, resolve } from 'node:path'
import type { Keymaster } from '../proxy/encryption/keymaster.ts'
import type { RootSecrets } from '../proxy/encryption/root-secrets.ts'
import type { DataPaths } from './data-folder.ts'
import { KeyFile } from './key-file.ts'
import type { Settings } from './settings.ts'

/** The secrets that objects are enciphered with; undefined where nobody keeps any: nothing is enciphered. */
export async function readRootSecrets(
  { encryptionKeyFile, keymaster }: Pick<Settings, 'encryptionKeyFile' | 'keymaster'>,
  paths: Pick<DataPaths, 'settings'>,
): Promise<RootSecrets | undefined> {
  const file = keymaster?.file ?? encryptionKeyFile
  return file === undefined ? undefined : keyFile(file, paths).rootSecrets()
}

/** Those for objects whose clients ask for encryption by S3; undefined: they are told that there are none. */
export async function readS3Keys(
  { s3 }: Pick<Settings, 's3'>,
  paths: Pick<DataPaths, 'settings'>,
): Promise<RootSecrets | undefined> {
  return s3?.keyFile === undefined ? undefined : keyFile(s3.keyFile, paths).rootSecrets()
}

function keyFile(name: string, paths: Pick<DataPaths, 'settings'>): Keymaster {
  return new KeyFile(resolve(dirname(paths.settings), name))
}
