/**
 * A disk as the storage engine sees it. Nothing is durable before `sync` (a file's bytes; those of a log with its
 * `write`) or `syncDirectory` (its name) has returned; a failed `sync` says nothing about what reached the medium and is
 * never repeated. The real one is node-disk.ts, the simulated one test/support/sim-disk.ts.
 */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>
  /** Creates the folder and its parents. */
  makeDirectory(path: string): Promise<void>
  /** Names in the folder, unsorted; an empty list if there is no such folder. */
  list(path: string): Promise<string[]>
  /** Makes creations, renames and removals in the folder durable. */
  syncDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Removes a file; nothing happens if it is not there. */
  remove(path: string): Promise<void>
  /** Whole small file, or null if it is not there. */
  readWhole(path: string): Promise<Uint8Array | null>
  /** Bytes of the file, or null if it is not there. */
  sizeOf(path: string): Promise<number | null>
  /** Bytes of the file system below the folder. Blocking: it is asked before the disk can run full, and cheap. */
  spaceSync(path: string): DiskSpace
}

/**
 * `read` and `write` an existing file, `create` a new one (fails if it exists); `log` a new one whose every write is
 * durable when it returns, as if `sync` were a part of it: one way through the kernel instead of two.
 */
export type OpenMode = 'read' | 'write' | 'create' | 'log'

export interface DiskSpace {
  readonly bytesTotal: number
  /** Free for an ordinary user. */
  readonly bytesFree: number
}

export interface DiskFile {
  readonly path: string
  /** Reads up to `target.length` bytes at `position`; fewer only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>
  /** The same, blocking: for small reads that are likely in the page cache. */
  readSync(target: Uint8Array, position: number): number
  /** Writes all of the buffers one after the other at `position`, or fails; to a log, durably. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** fdatasync. */
  sync(): Promise<void>
  close(): Promise<void>
}
