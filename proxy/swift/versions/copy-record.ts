import type { Condition } from '../../../common/condition.ts'
import type { ItemMeta, ItemRead } from '../../../common/storage-node.ts'
import type { Backend, BackendOutcome, ObjectPath } from '../../backend/backend.ts'
import { S3_CLASS } from '../foreign-meta.ts'
import { isReader } from '../object-body.ts'

/**
 * Stores what was read (`sealed`), byte for byte, as another object. The read is closed; its bytes were verified on their way, so
 * the ETag holds.
 */
export async function copyRecord(
  through: Backend,
  read: ItemRead,
  to: { readonly place: ObjectPath; readonly meta: ItemMeta; readonly condition?: Condition },
): Promise<BackendOutcome> {
  const { body } = read
  const backend = through.unsealed ?? through
  const { place, meta, condition } = to
  if (!isReader(body)) {
    const put = { meta, body: Buffer.from(body ?? '') }
    return backend.putObject(place, condition === undefined ? put : { ...put, condition })
  }
  try {
    const writer = await backend.openObject(place, { storageClass: meta.headers[S3_CLASS] })
    try {
      for await (const piece of body.stream(0, body.bytes)) {
        await writer.write(piece)
        body.recycle?.(piece)
      }
      return await writer.commit(meta, condition)
    } catch (error) {
      await writer.abort()
      throw error
    }
  } finally {
    await body.close()
  }
}
