/**
 * A disk in memory that forgets what was not synced, from a seed.
 *
 * Files are inodes (sim-disk-file.ts); names are entries of two maps, the one that programs see and the one on the
 * medium, with the changes between them in order. `sync` makes a file's bytes durable, `syncDirectory` the names in a
 * folder (the name of the folder itself lies in its parent). `crash` keeps a random part of the rest: writes torn at
 * sectors and reordered between files, creations, renames and removals that happened or not. It is stricter than ext4
 * and XFS, which order changes of names, and never stricter than what fsync(2) promises.
 *
 * Every call takes a random number of turns, so that calls in flight overtake each other. A call that is in flight
 * when the disk crashes fails with `ECRASHED`, and so does every later call on an old handle or an old `attach()`.
 */
import assert from 'node:assert/strict'
import { posix } from 'node:path'
import type { Disk, DiskFile, DiskSpace, OpenMode } from '../../common/disk.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'
import { type PendingWrite, SimFile } from './sim-disk-file.ts'

export const DISK_CALLS = [
  'open',
  'read',
  'write',
  'sync',
  'close',
  'makeDirectory',
  'list',
  'syncDirectory',
  'rename',
  'remove',
  'readWhole',
  'sizeOf',
  'space',
] as const
export type DiskCall = (typeof DISK_CALLS)[number]

const UNLIMITED_BYTES = 2 ** 40

export interface SimDiskOptions {
  readonly seed: number
  /** Bytes that fit; beyond them writes fail with ENOSPC. Default: no limit worth the name. */
  readonly capacityBytes?: number
  /** Negative control: sync and syncDirectory say yes and do nothing. */
  readonly syncIsANoOp?: boolean
  /** A new folder's name is durable at once, as if makeDirectory had synced its parents. Default false. */
  readonly foldersAreDurable?: boolean
  /** Turns of the microtask queue that a call takes at most. Default 6. */
  readonly turnsMax?: number
}

export interface FaultPlan {
  /** Which calls; absent: all kinds. */
  readonly call?: DiskCall | readonly DiskCall[]
  /** Which paths: a part of the path, or a pattern; absent: all. */
  readonly path?: string | RegExp
  /** The k-th matching call fails, from 1 on. Default 1. */
  readonly atCall?: number
  /** `short`: part of a write lands (as part of an ENOSPC one may), then EIO. */
  readonly error: 'EIO' | 'ENOSPC' | 'EROFS' | 'EMFILE' | 'short'
  /** All matching calls from the k-th on fail, until `cancel`. */
  readonly sticky?: boolean
}

export interface Fault {
  /** Matching calls seen. */
  readonly seen: number
  /** Calls failed. */
  readonly hits: number
  cancel(): void
}

interface ActiveFault {
  readonly plan: FaultPlan
  seen: number
  hits: number
}

/** A change of one name; the changes of a group happen together or not at all. */
interface NameChange {
  readonly path: string
  readonly file: SimFile | null
}

interface NameGroup {
  readonly changes: readonly NameChange[]
  /** The arrival under the new name, of a departure to another folder: it is never durable without it. */
  readonly arrival?: NameGroup
}

/** The failure of a call on a simulated disk, with the `code` that Node's would carry. */
export class SimDiskError extends Error {
  readonly code: string
  readonly path: string

  constructor(code: string, call: string, path: string) {
    super(`${code}: simulated, ${call} '${path}'`)
    this.name = 'SimDiskError'
    this.code = code
    this.path = path
  }
}

export class SimDisk implements Disk {
  /** Calls begun, by kind, since the start or the last `resetCounts`. */
  readonly counts = new Map<DiskCall, number>()
  /** Crashes so far. */
  crashes = 0
  capacityBytes: number
  readonly #options: SimDiskOptions
  #random: SeededRandom
  #names = new Map<string, SimFile>()
  #durableNames = new Map<string, SimFile>()
  #folders = new Set<string>(['/'])
  #durableFolders = new Set<string>(['/'])
  #pendingGroups: NameGroup[] = []
  readonly #faults = new Set<ActiveFault>()

  constructor(options: SimDiskOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.capacityBytes = options.capacityBytes ?? UNLIMITED_BYTES
  }

  // What a test does to the disk.

  /**
   * A view that dies with the next crash, as a process does: a forgotten background task of the crashed engine cannot
   * touch what its successor sees.
   */
  attach(): Disk {
    const born = this.crashes
    const guard = <T>(call: DiskCall, path: string, action: () => T): T => {
      if (this.crashes !== born) throw new SimDiskError('ECRASHED', call, path)
      return action()
    }
    return {
      open: async (path, mode) => guard('open', path, () => this.open(path, mode)),
      makeDirectory: async (path) => guard('makeDirectory', path, () => this.makeDirectory(path)),
      list: async (path) => guard('list', path, () => this.list(path)),
      syncDirectory: async (path) => guard('syncDirectory', path, () => this.syncDirectory(path)),
      rename: async (from, to) => guard('rename', from, () => this.rename(from, to)),
      remove: async (path) => guard('remove', path, () => this.remove(path)),
      readWhole: async (path) => guard('readWhole', path, () => this.readWhole(path)),
      sizeOf: async (path) => guard('sizeOf', path, () => this.sizeOf(path)),
      spaceSync: (path) => guard('space', path, () => this.spaceSync(path)),
    }
  }

  /** Power cut: what was not synced survives by chance. Faults are gone, counts stay. */
  crash(seed: number): void {
    this.#random = seededRandom(seed)
    this.crashes++
    this.#faults.clear()
    this.#crashFolders()
    this.#crashNames()
    for (const file of new Set(this.#durableNames.values())) file.crash(this.#random)
  }

  /** The process dies, the machine does not: handles fail, and everything written is still in the cache. */
  kill(): void {
    this.crashes++
    this.#faults.clear()
  }

  /** Makes calls fail from now on. */
  fail(plan: FaultPlan): Fault {
    const fault: ActiveFault = { plan, seen: 0, hits: 0 }
    this.#faults.add(fault)
    return {
      get seen() {
        return fault.seen
      },
      get hits() {
        return fault.hits
      },
      cancel: () => this.#faults.delete(fault),
    }
  }

  /** No call is made to fail any more. */
  heal(): void {
    this.#faults.clear()
  }

  /** Flips one bit of the file, on the medium and in the cache: rot. */
  flip(path: string, offset: number, bit = this.#random.below(8)): void {
    const file = this.#existing('read', path)
    assert(offset < file.bytes, 'the flipped bit lies in the file')
    file.flip(offset, bit)
  }

  /** Cuts the file, on the medium and in the cache: damage. */
  truncate(path: string, length: number): void {
    this.#existing('read', path).truncate(length)
  }

  /** All files that programs see, sorted. */
  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  /** A copy of the file as programs see it. */
  contents(path: string): Uint8Array {
    return this.#existing('read', path).view().slice()
  }

  /** Calls begun since the start or the last `resetCounts`: what "every k-th call fails once" counts up to. */
  callCount(calls: readonly DiskCall[] = DISK_CALLS): number {
    return calls.reduce((sum, call) => sum + (this.counts.get(call) ?? 0), 0)
  }

  resetCounts(): void {
    this.counts.clear()
  }

  /** Bytes in files, in whole blocks of 4 KiB. */
  bytesUsed(): number {
    let bytes = 0
    for (const file of new Set(this.#names.values())) bytes += Math.ceil(file.bytes / 4096) * 4096
    return bytes
  }

  // What a program does with the disk.

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const name = normal(path)
    await this.#call('open', name)
    if (mode === 'create' || mode === 'log') return this.#handle(name, this.#create(name), mode)
    const file = this.#existing('open', name)
    file.maybeEvict(this.#random)
    return this.#handle(name, file, mode)
  }

  async makeDirectory(path: string): Promise<void> {
    const name = normal(path)
    await this.#call('makeDirectory', name)
    for (let folder = name; folder !== '/'; folder = posix.dirname(folder)) {
      if (this.#names.has(folder)) throw new SimDiskError('ENOTDIR', 'makeDirectory', name)
      this.#folders.add(folder)
      if (this.#options.foldersAreDurable) this.#durableFolders.add(folder)
    }
  }

  async list(path: string): Promise<string[]> {
    const name = normal(path)
    await this.#call('list', name)
    const names: string[] = []
    for (const child of this.#folders)
      if (child !== '/' && posix.dirname(child) === name) names.push(posix.basename(child))
    for (const child of this.#names.keys())
      if (posix.dirname(child) === name) names.push(posix.basename(child))
    // Unsorted by contract: callers that rely on an order are found out.
    return names
      .map((entry) => ({ entry, order: this.#random.fraction() }))
      .sort((a, b) => a.order - b.order)
      .map(({ entry }) => entry)
  }

  async syncDirectory(path: string): Promise<void> {
    const name = normal(path)
    const covered = new Set(this.#pendingGroups)
    const folders = [...this.#folders]
    await this.#call('syncDirectory', name)
    if (!this.#folders.has(name)) throw new SimDiskError('ENOENT', 'syncDirectory', name)
    if (this.#options.syncIsANoOp) return
    for (const child of folders) if (posix.dirname(child) === name) this.#durableFolders.add(child)
    this.#settleNames((group) => covered.has(group), name)
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [normal(from), normal(to)]
    await this.#call('rename', source)
    const file = this.#existing('rename', source)
    this.#needFolder('rename', target)
    this.#names.delete(source)
    this.#names.set(target, file)
    const change = { path: target, file }
    const departure = { path: source, file: null }
    if (posix.dirname(source) === posix.dirname(target)) {
      this.#pendingGroups.push({ changes: [change, departure] })
      return
    }
    const arrival = { changes: [change] }
    this.#pendingGroups.push(arrival, { changes: [departure], arrival })
  }

  async remove(path: string): Promise<void> {
    const name = normal(path)
    await this.#call('remove', name)
    if (!this.#names.delete(name)) return
    this.#pendingGroups.push({ changes: [{ path: name, file: null }] })
  }

  async readWhole(path: string): Promise<Uint8Array | null> {
    const name = normal(path)
    await this.#call('readWhole', name)
    const file = this.#names.get(name)
    file?.maybeEvict(this.#random)
    return file ? file.view().slice() : null
  }

  async sizeOf(path: string): Promise<number | null> {
    const name = normal(path)
    await this.#call('sizeOf', name)
    return this.#names.get(name)?.bytes ?? null
  }

  spaceSync(path: string): DiskSpace {
    const fault = this.#begin('space', normal(path))
    if (fault) throw fault
    const bytesFree = Math.max(0, this.capacityBytes - this.bytesUsed())
    return { bytesTotal: this.capacityBytes, bytesFree }
  }

  // Below: how it works.

  #handle(path: string, file: SimFile, mode: OpenMode): DiskFile {
    const born = this.crashes
    let open = true
    const check = (call: DiskCall): void => {
      if (this.crashes !== born) throw new SimDiskError('ECRASHED', call, path)
      if (!open) throw new SimDiskError('EBADF', call, path)
    }
    const readNow = (target: Uint8Array, position: number): number => {
      const bytes = file.view().subarray(position, position + target.length)
      target.set(bytes)
      return bytes.length
    }
    return {
      path,
      read: async (target, position) => {
        check('read')
        await this.#call('read', path)
        check('read')
        return readNow(target, position)
      },
      readSync: (target, position) => {
        check('read')
        const error = this.#begin('read', path)
        if (error) throw error
        return readNow(target, position)
      },
      write: async (buffers, position) => {
        check('write')
        if (mode === 'read') throw new SimDiskError('EBADF', 'write', path)
        await this.#write(path, file, { buffers, position })
        check('write')
        if (mode === 'log') await this.#sync(path, file)
        check('write')
      },
      sync: async () => {
        check('sync')
        await this.#sync(path, file)
        check('sync')
      },
      close: async () => {
        if (!open || this.crashes !== born) return
        open = false
        await this.#call('close', path)
      },
    }
  }

  async #write(
    path: string,
    file: SimFile,
    write: { readonly buffers: readonly Uint8Array[]; readonly position: number },
  ): Promise<void> {
    const bytes = Buffer.concat(write.buffers)
    const fault = this.#begin('write', path)
    if (fault) {
      // A failed write may have landed in part: in the cache, from where it may still reach the medium.
      if (fault.code !== 'ECRASHED')
        this.#land(file, write.position, bytes.subarray(0, this.#random.below(bytes.length + 1)))
      await this.#turns('write', path)
      throw fault
    }
    const room = this.#roomFor(file, write.position + bytes.length)
    const fits = Math.min(bytes.length, Math.max(0, room - write.position))
    // The bytes are in the cache at a random moment of the call.
    await this.#turns('write', path)
    this.#land(file, write.position, bytes.subarray(0, fits))
    await this.#turns('write', path)
    assert(
      bytes.equals(Buffer.concat(write.buffers)),
      `buffers changed during the write to ${path}`,
    )
    if (fits < bytes.length) throw new SimDiskError('ENOSPC', 'write', path)
  }

  #land(file: SimFile, position: number, bytes: Uint8Array): void {
    if (bytes.length > 0) file.write(position, bytes)
  }

  /** The length up to which the file may grow. */
  #roomFor(file: SimFile, end: number): number {
    if (end <= Math.ceil(file.bytes / 4096) * 4096) return end
    if (this.capacityBytes >= UNLIMITED_BYTES) return end
    const free = Math.max(0, this.capacityBytes - this.bytesUsed())
    return Math.ceil(file.bytes / 4096) * 4096 + Math.floor(free / 4096) * 4096
  }

  async #sync(path: string, file: SimFile): Promise<void> {
    const covered: readonly PendingWrite[] = file.pending()
    const fault = this.#begin('sync', path)
    await this.#turns('sync', path)
    if (fault) {
      file.failSync(covered, this.#random)
      throw fault
    }
    if (!this.#options.syncIsANoOp) file.settle(covered)
    await this.#turns('sync', path)
  }

  #create(path: string): SimFile {
    if (this.#names.has(path) || this.#folders.has(path)) {
      throw new SimDiskError('EEXIST', 'open', path)
    }
    this.#needFolder('open', path)
    const file = new SimFile()
    this.#names.set(path, file)
    this.#pendingGroups.push({ changes: [{ path, file }] })
    return file
  }

  #existing(call: DiskCall, path: string): SimFile {
    const file = this.#names.get(normal(path))
    if (!file) throw new SimDiskError('ENOENT', call, path)
    return file
  }

  #needFolder(call: DiskCall, path: string): void {
    if (!this.#folders.has(posix.dirname(path))) throw new SimDiskError('ENOENT', call, path)
  }

  async #call(call: DiskCall, path: string): Promise<void> {
    const fault = this.#begin(call, path)
    await this.#turns(call, path)
    if (fault) throw fault
  }

  /** Counts the call and says whether it is to fail. */
  #begin(call: DiskCall, path: string): SimDiskError | null {
    this.counts.set(call, (this.counts.get(call) ?? 0) + 1)
    for (const fault of this.#faults) {
      if (!matches(fault.plan, call, path)) continue
      fault.seen++
      const atCall = fault.plan.atCall ?? 1
      if (fault.plan.sticky ? fault.seen < atCall : fault.seen !== atCall) continue
      fault.hits++
      return new SimDiskError(fault.plan.error === 'short' ? 'EIO' : fault.plan.error, call, path)
    }
    return null
  }

  async #turns(call: DiskCall, path: string): Promise<void> {
    const born = this.crashes
    for (let turn = this.#random.below(this.#options.turnsMax ?? 6); turn >= 0; turn--) await null
    if (this.crashes !== born) throw new SimDiskError('ECRASHED', call, path)
  }

  /** Makes durable the pending changes of names that the filter covers and that touch the folder. */
  #settleNames(covers: (group: NameGroup) => boolean, folder: string): void {
    this.#pendingGroups = this.#pendingGroups.filter((group) => {
      if (!covers(group) || posix.dirname(group.changes[0]!.path) !== folder) return true
      this.#applyDurably(group)
      return false
    })
  }

  #applyDurably(group: NameGroup): void {
    // A rename between folders may leave the file under both names, never under neither.
    if (group.arrival && this.#pendingGroups.includes(group.arrival))
      this.#applyDurably(group.arrival)
    for (const change of group.changes) {
      if (change.file) this.#durableNames.set(change.path, change.file)
      else this.#durableNames.delete(change.path)
    }
  }

  /** Half of the crashes are those of a journal (a prefix of the changes), half keep any subset of them. */
  #crashNames(): void {
    const ordered = this.#random.chance(0.5)
    const keptCount = this.#random.below(this.#pendingGroups.length + 1)
    const density = this.#random.fraction()
    for (const [index, group] of this.#pendingGroups.entries()) {
      if (ordered ? index < keptCount : this.#random.chance(density)) this.#applyDurably(group)
    }
    this.#pendingGroups = []
    for (const path of [...this.#durableNames.keys()]) {
      if (!this.#durableFolders.has(posix.dirname(path))) this.#durableNames.delete(path)
    }
    this.#names = new Map(this.#durableNames)
  }

  #crashFolders(): void {
    const candidates = [...this.#folders].sort((a, b) => a.length - b.length)
    for (const folder of candidates) {
      if (this.#durableFolders.has(folder)) continue
      if (this.#durableFolders.has(posix.dirname(folder)) && this.#random.chance(0.5))
        this.#durableFolders.add(folder)
    }
    // A durable folder below one that vanished vanishes with it.
    for (const folder of [...this.#durableFolders].sort((a, b) => a.length - b.length)) {
      if (!this.#durableFolders.has(posix.dirname(folder))) this.#durableFolders.delete(folder)
    }
    this.#folders = new Set(this.#durableFolders)
  }
}

function normal(path: string): string {
  return posix.resolve('/', path)
}

function matches(plan: FaultPlan, call: DiskCall, path: string): boolean {
  if (plan.call !== undefined) {
    if (typeof plan.call === 'string' ? plan.call !== call : !plan.call.includes(call)) return false
  }
  if (plan.path === undefined) return true
  return typeof plan.path === 'string' ? path.includes(plan.path) : plan.path.test(path)
}
