/**
 * Backup and restore of what a data folder holds beside the data itself: settings with the salt of all names, keys,
 * users (with the state of the identity service, unless that is in PostgreSQL), rings, the configs of nodes. A few KiB without which the disks are worthless. The disks are not part of it:
 * against their loss there are replicas.
 */
import { randomUUID } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { create, extract, list } from 'tar'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import { dataPaths } from './data-folder.ts'
import { makeFolder } from './folders.ts'
import { identityPaths } from './identity/identity-config.ts'
import { lockHolder } from './process-lock.ts'

/** What is backed up, of a data folder's names. `nodes` without their disks. */
const NAMES = [
  'swiftlet.json',
  'credentials',
  'identity',
  'users.json',
  'token.key',
  'cluster.key',
  'rings',
  'disks.json',
  'nodes',
] as const
const BYTES_MAX = 1024 ** 3
/** A state that changes its files is read again. */
const TRIES_MAX = 10

/**
 * Writes the archive (tar, gzip, 0600: it has all keys in it); the store may be running. Durable when it returns.
 * Throws 404 `NotADataFolder`, 409 `Exists`.
 */
export async function backUp(folder: string, archive: string): Promise<readonly string[]> {
  if (!existsSync(dataPaths(folder).settings)) {
    throw new ServiceError('NotADataFolder', `${folder}: no Swiftlet was started here yet`, {
      status: 404,
    })
  }
  const names = NAMES.filter((name) => existsSync(join(folder, name)))
  const file = await open(archive, 'wx', 0o600).catch((error: unknown) => {
    throw systemErrorCode(error) === 'EEXIST' ? exists(archive) : error
  })
  try {
    for (let tries = 1; !(await writeArchive(file, folder, names)); tries++) {
      if (tries === TRIES_MAX) throw new ServiceError('Busy', `${folder} keeps changing: try again`)
    }
    await file.sync()
    await file.close()
  } catch (error) {
    await file.close().catch(() => {})
    await rm(archive, { force: true })
    throw error
  }
  await syncFolder(dirname(archive))
  return names
}

/**
 * Whether what was written is of one moment. The state of identity is a LevelDB that may be in use: its log only grows,
 * and may end anywhere; other files must not have come or gone meanwhile.
 */
async function writeArchive(
  file: FileHandle,
  folder: string,
  names: readonly string[],
): Promise<boolean> {
  await file.truncate(0)
  const before = stateFiles(folder)
  const options = { cwd: folder, gzip: true, portable: true, filter: isBackedUp }
  let at = 0
  for await (const piece of create(options, [...names])) {
    await file.write(piece, 0, piece.length, at)
    at += piece.length
  }
  return stateFiles(folder) === before
}

/** The files of identity's state, those that do not only grow with their lengths. */
function stateFiles(folder: string): string {
  const state = identityPaths(dataPaths(folder).identity).state
  if (!existsSync(state)) return ''
  const names = readdirSync(state).filter((name) => !STATE_NOISE.test(name))
  return names
    .map((name) => {
      const size = statSync(join(state, name), { throwIfNoEntry: false })?.size
      return name.endsWith('.log') ? name : `${name} ${size}`
    })
    .join('\n')
}

/** LevelDB's lock and its own protocol. */
const STATE_NOISE = /^(LOCK|LOG(\.old)?)$/

/** Disks are the folders in `nodes/<name>/`; logs and locks are nobody's past. */
function isBackedUp(path: string, entry: object): boolean {
  const isFolder = 'isDirectory' in entry && (entry as Stats).isDirectory()
  const isDisk = isFolder && /^nodes\/[^/]+\/./.test(path)
  const name = basename(path)
  if (path.startsWith('identity/state/')) return !STATE_NOISE.test(name)
  return !isDisk && !/\.(lock|tmp|log)$/.test(path)
}

/**
 * Unpacks an archive into a data folder that has no settings; disks that are there stay as they are. The settings come
 * last, so that a restore that was cut off can be done again. Throws 409 `Exists`, 409 `Locked`, 400 `BadArchive`.
 */
export async function restore(archive: string, folder: string): Promise<readonly string[]> {
  await checkArchive(archive)
  makeFolder(folder)
  const paths = dataPaths(folder)
  const pid = lockHolder(paths.lock)
  if (pid !== null) {
    throw new ServiceError('Locked', `${folder} is in use by process ${pid}`, { status: 409 })
  }
  if (existsSync(paths.settings)) throw exists(paths.settings)
  const aside = join(folder, `restore.${randomUUID()}.tmp`)
  mkdirSync(aside, { mode: 0o700 })
  try {
    await extract({ file: archive, cwd: aside, strict: true })
    const names = readdirSync(aside)
    for (const name of names) if (name !== 'swiftlet.json') moveIn(join(aside, name), folder)
    await syncFolder(folder)
    moveIn(join(aside, 'swiftlet.json'), folder)
    await syncFolder(folder)
    return names
  } finally {
    rmSync(aside, { recursive: true, force: true })
  }
}

function moveIn(path: string, folder: string): void {
  const target = join(folder, basename(path))
  if (basename(path) === 'nodes') {
    // Beside disks that are still there.
    for (const node of readdirSync(path)) {
      makeFolder(join(target, node))
      for (const name of readdirSync(join(path, node))) {
        renameSync(join(path, node, name), join(target, node, name))
      }
    }
    return
  }
  rmSync(target, { recursive: true, force: true })
  renameSync(path, target)
}

/** Nothing of a strange archive is unpacked: only known names, plain files and folders, and not without end. */
async function checkArchive(archive: string): Promise<void> {
  const known: readonly string[] = NAMES
  const seen = new Set<string>()
  let bytes = 0
  try {
    await list({
      file: archive,
      strict: true,
      onReadEntry(entry) {
        const parts = entry.path.replace(/\/$/, '').split('/')
        seen.add(parts[0]!)
        bytes += entry.size
        const isPlain = entry.type === 'File' || entry.type === 'Directory'
        if (!isPlain || !known.includes(parts[0]!) || parts.includes('..') || bytes > BYTES_MAX) {
          throw badArchive(archive, `${entry.path} does not belong there`)
        }
      },
    })
  } catch (cause) {
    if (cause instanceof ServiceError) throw cause
    throw badArchive(archive, cause instanceof Error ? cause.message : String(cause))
  }
  if (!seen.has('swiftlet.json')) throw badArchive(archive, 'there is no swiftlet.json in it')
}

function badArchive(archive: string, why: string): ServiceError {
  return new ServiceError('BadArchive', `${archive} is no backup of a Swiftlet: ${why}`, {
    status: 400,
  })
}

function exists(path: string): ServiceError {
  return new ServiceError('Exists', `${path} is there already`, { status: 409 })
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
