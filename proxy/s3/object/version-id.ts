import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

/** Objects without versions have one, called `null`; another one that a request asks for is not there. */
export function checkVersionId(call: S3Call): void {
  const version = call.query.get('versionId')
  if (version !== undefined) checkVersion(version, call.key)
}

export function checkVersion(version: string, key: string): void {
  if (version === 'null') return
  if (version === '') {
    throw new S3Error('InvalidArgument', 'Version id cannot be the empty string', {
      ArgumentName: 'versionId',
      ArgumentValue: '',
    })
  }
  throw new S3Error('NoSuchVersion', undefined, { Key: key, VersionId: version })
}
