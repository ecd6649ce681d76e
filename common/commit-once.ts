import type { BodyWriter, ItemWrite, WriteOutcome } from './storage-node.ts'

/** Commits a body that is not committed again: one that came too late is thrown away. */
export async function commitOnce(writer: BodyWriter, write: ItemWrite): Promise<WriteOutcome> {
  const outcome = await writer.commit(write)
  if (outcome.status === 'superseded') await writer.abort()
  return outcome
}
