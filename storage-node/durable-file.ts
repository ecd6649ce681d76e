import type { Disk } from '../common/disk.ts'

/** Replaces a small file of a device as a whole: after a crash it is the old one or the new one. Durable when it returns. */
export async function writeDurably(
  disk: Disk,
  directory: string,
  name: string,
  text: string,
): Promise<void> {
  const draft = `${directory}/${name}.new`
  await disk.remove(draft)
  const file = await disk.open(draft, 'create')
  await file.write([Buffer.from(text)], 0)
  await file.sync()
  await file.close()
  await disk.rename(draft, `${directory}/${name}`)
  await disk.syncDirectory(directory)
}
