/** Storage classes as requests and answers name them. */
import type { ItemInfo, ListRow } from '../../../common/storage-node.ts'
import type { StorageClass } from '../../storage-class/class-backend.ts'
import { S3_CLASS } from '../../swift/foreign-meta.ts'
import { listedTraits } from '../../swift/listed-traits.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

/** That of a container's own policy; nothing is stored of it. */
export const STANDARD = 'STANDARD'

/** What an object that the request makes keeps of its class; InvalidStorageClass for one that is not in the settings. */
export function classOfRequest(call: S3Call): Readonly<Record<string, string>> {
  const name = call.header('x-amz-storage-class')
  if (name === undefined || name === STANDARD) return {}
  checkClass(call.settings.storageClasses, name)
  return { [S3_CLASS]: name }
}

export function checkClass(known: readonly StorageClass[], name: string): void {
  if (known.some((one) => one.name === name)) return
  throw new S3Error('InvalidStorageClass', undefined, { StorageClassRequested: name })
}

/** What another record of the object's own keeps of its class. */
export function keptClass({ meta }: Pick<ItemInfo, 'meta'>): Readonly<Record<string, string>> {
  const name = meta.headers[S3_CLASS]
  return name === undefined ? {} : { [S3_CLASS]: name }
}

export function classOfObject({ meta }: Pick<ItemInfo, 'meta'>): string {
  return meta.headers[S3_CLASS] ?? STANDARD
}

export function classOfRow(row: ListRow): string {
  return listedTraits(row).listed.s3_class ?? STANDARD
}

/** S3 does not name STANDARD. */
export function classHeader({ meta }: ItemInfo): readonly string[] {
  const name = meta.headers[S3_CLASS]
  return name === undefined ? [] : ['x-amz-storage-class', name]
}
