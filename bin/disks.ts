import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { parseConfig } from '../common/config.ts'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import { readTextFile, replaceFile } from '../common/whole-file.ts'
import type { DataPaths } from './data-folder.ts'
import { makeFolder } from './folders.ts'
import { checkKnownPolicies, checkPolicies, type PolicyChoice } from './policy-choice.ts'
import { defaultReplicas } from './rings.ts'
import type { DiskSetting, Settings, StoreShape } from './settings.ts'

/** What `up` was asked for; empty and undefined where nothing was said. */
export interface DiskChoice {
  readonly disks: readonly string[]
  readonly replicas?: number
  readonly policies?: readonly PolicyChoice[]
}

/** The disks and replicas of a new data folder. Throws a 400 for the same disk twice or more replicas than disks. */
export function chooseDisks(choice: DiskChoice, paths: DataPaths): StoreShape {
  const named = realFolders(choice.disks)
  const folders = emptyFolders(named.length === 0 ? [join(paths.disks, 'disk1')] : named)
  const replicaCount = choice.replicas ?? defaultReplicas(folders.length)
  if (replicaCount > folders.length) {
    throw bad(`${replicaCount} replicas need as many disks, and there are ${folders.length}`)
  }
  const { policies } = choice
  checkPolicies(policies ?? [], folders.length)
  const disks = folders.map((folder, index) => diskSetting(`disk${index + 1}`, folder, paths))
  return { disks, replicaCount, ...(policies === undefined ? {} : { policies }) }
}

/** Refuses the data folder of `swiftlet cluster`, and policies other than those of its settings. */
export function checkChoice(choice: DiskChoice, settings: Settings, paths: DataPaths): void {
  if (settings.nodeCount !== undefined) throw bad(`${paths.folder} belongs to \`swiftlet cluster\``)
  checkKnownPolicies(choice.policies ?? [], settings, paths.settings)
}

/** The setting of a disk in a folder. */
export function diskSetting(device: string, folder: string, paths: DataPaths): DiskSetting {
  // Within the data folder relative, so that the folder can be moved.
  const isInside = folder.startsWith(`${paths.folder}/`)
  return { device, path: isInside ? folder.slice(paths.folder.length + 1) : folder }
}

/** The folders behind all links, made where they are not there. Throws a 400 if one is named twice. */
export function realFolders(paths: readonly string[]): readonly string[] {
  const folders = paths.map(realFolder)
  if (new Set(folders).size < folders.length) throw bad('the same disk is named twice')
  return folders
}

/** The same folders. Throws a 400 if one of them holds a device. */
export function emptyFolders(folders: readonly string[]): readonly string[] {
  const used = folders.find((folder) => deviceUuid(folder) !== null)
  if (used === undefined) return folders
  // Another one's names were hashed with another salt, and what was drained here may have been changed since.
  throw bad(`${used} holds the data of a Swiftlet: start that one, or name an empty folder`)
}

/** Where a disk is. */
export function diskPath(disk: DiskSetting, paths: DataPaths): string {
  return isAbsolute(disk.path) ? disk.path : join(paths.folder, disk.path)
}

/**
 * Refuses a disk that is not the one that was there before: an empty mount point would be taken for a new disk, and
 * what is written to it would vanish below the mount when the real one returns.
 */
export async function checkSameDisks(settings: Settings, paths: DataPaths): Promise<void> {
  const seen = await readSeenDisks(paths)
  for (const disk of settings.disks) {
    const before = seen.get(disk.device)
    if (before === undefined) continue
    const path = diskPath(disk, paths)
    const now = deviceUuid(path)
    if (now === before) continue
    const what =
      now === null
        ? 'holds no device: is it mounted?'
        : now === UNREADABLE
          ? 'cannot be read'
          : 'holds another device'
    throw new ServiceError(
      'WrongDisk',
      `disk ${disk.device} at ${path} ${what} (to begin with it empty, take its line out of ${paths.seenDisks})`,
      { status: 409 },
    )
  }
}

/** Notes which disks these are, after the storage node has opened them. */
export async function noteDisks(settings: Settings, paths: DataPaths): Promise<void> {
  const seen = Object.fromEntries(
    settings.disks.map((disk) => [disk.device, deviceUuid(diskPath(disk, paths))]),
  )
  const text = `${JSON.stringify(seen, null, 2)}\n`
  if (text !== (await readTextFile(paths.seenDisks))) await replaceFile(paths.seenDisks, text)
}

/** The uuid of each device that was ever open, by its name. */
export async function readSeenDisks(paths: DataPaths): Promise<ReadonlyMap<string, string>> {
  const text = await readTextFile(paths.seenDisks)
  if (text === null) return new Map()
  const config = parseConfig(text, paths.seenDisks)
  return new Map(config.names().map((name) => [name, config.text(name)]))
}

const UNREADABLE = 'unreadable'

/** The uuid in the device's FORMAT file; null if there is none. A damaged file is the storage node's to refuse. */
function deviceUuid(path: string): string | null {
  try {
    const { uuid } = JSON.parse(readFileSync(join(path, 'FORMAT'), 'utf8')) as { uuid?: unknown }
    return typeof uuid === 'string' ? uuid : UNREADABLE
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT' ? null : UNREADABLE
  }
}

function realFolder(path: string): string {
  const folder = resolve(path)
  if (!existsSync(folder)) makeFolder(folder)
  return realpathSync(folder)
}

function bad(message: string): ServiceError {
  return new ServiceError('BadDisks', message, { status: 400 })
}
