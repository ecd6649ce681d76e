/** Which version of an object a request means, and how versions are named in answers. */
import type { FoundObject } from '../../swift/found-object.ts'
import { NULL_VERSION } from '../../swift/found-object.ts'
import type { ObjectPlace } from '../../swift/object-access.ts'
import { shownVersionId } from '../../swift/versions/remove-version.ts'
import { parseVersionId } from '../../swift/versions/version-names.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

/** The version that the request's query names, or undefined: the current one. Throws for what cannot be one there. */
export function versionIdOf(call: S3Call, place: ObjectPlace): string | undefined {
  const version = call.query.get('versionId')
  if (version !== undefined) checkVersion(version, place)
  return version
}

/** InvalidArgument for what is no version's id; where no versions are kept, only `null` is there. */
export function checkVersion(version: string, place: ObjectPlace): void {
  if (version === NULL_VERSION) return
  if (version === '') throw badVersion('Version id cannot be the empty string', version)
  if (!keepsVersions(place)) throw noSuchVersion(place.object, version)
  if (parseVersionId(version) === null) throw badVersion('Invalid version id specified', version)
}

export function noSuchVersion(key: string, version: string): S3Error {
  return new S3Error('NoSuchVersion', undefined, { Key: key, VersionId: version })
}

/** Whether objects there have versions, or once had: those have ids in answers. */
export function keepsVersions({ versions }: ObjectPlace): boolean {
  return versions?.kind === 'objects'
}

/** The id of what was found, for an answer; nothing where no versions are kept. */
export function versionHeaders(
  place: ObjectPlace,
  found: Pick<FoundObject, 'read' | 'version'>,
  name = 'x-amz-version-id',
): string[] {
  return keepsVersions(place) ? [name, versionOfFound(found)] : []
}

export function versionOfFound({ read, version }: Pick<FoundObject, 'read' | 'version'>): string {
  return shownVersionId(read.info, version ?? NULL_VERSION)
}

function badVersion(message: string, version: string): S3Error {
  return new S3Error('InvalidArgument', message, {
    ArgumentName: 'versionId',
    ArgumentValue: version,
  })
}
