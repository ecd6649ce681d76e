/**
 * What a start of `up` asks for that the data folder is not: disks more or fewer, another number of replicas. It becomes a
 * change of the rings' builders, and the keeper moves the data while everything is served.
 */
import { ServiceError } from '../common/errors.ts'
import { deviceLabel } from '../common/ring/placement.ts'
import { replaceFile } from '../common/whole-file.ts'
import type { DataFolder, DataPaths } from './data-folder.ts'
import {
  checkSameDisks,
  type DiskChoice,
  diskPath,
  diskSetting,
  emptyFolders,
  readSeenDisks,
} from './disks.ts'
import { DEFAULT_PORTS } from './ports.ts'
import { type ChangeOptions, changeTargets, type RingPlaces, readPlaces } from './ring-targets.ts'
import { addPolicyRings, newDevice, type RingPlan } from './rings.ts'
import { type DiskSetting, encodeSettings, type Settings } from './settings.ts'

/** The settings as they are to be, and what a person is told of it. */
export interface DiskChange {
  readonly settings: Settings
  readonly notes: readonly string[]
}

/** A disk of `up` as the rings have it: all are one node's, and its address stands for this process. */
export function upDevice(device: string) {
  const zone = Number(/\d+$/.exec(device)?.[0] ?? 1)
  return newDevice(device, { zone, ip: '127.0.0.1', port: DEFAULT_PORTS.storageNode })
}

/**
 * What is to be changed. Nothing is taken away that may hold data: a disk that is left out, and is not drained or given up, is
 * a 400 with the command that drains it.
 */
export function planDiskChange(
  choice: DiskChoice,
  settings: Settings,
  { paths, places }: { readonly paths: DataPaths; readonly places: RingPlaces },
): DiskChange {
  const known = settings.disks.map((disk) => ({ disk, path: diskPath(disk, paths) }))
  const folders = choice.disks.length === 0 ? known.map(({ path }) => path) : [...choice.disks]
  const left = known.filter(({ path }) => !folders.includes(path))
  for (const { disk, path } of left) refuseLeavingOut(disk, path, { paths, places })
  const staying = known.filter(({ path }) => folders.includes(path)).map(({ disk }) => disk)
  const fresh = emptyFolders(folders.filter((folder) => !known.some(({ path }) => path === folder)))
  const first = 1 + highestNumber(settings.disks, places)
  const added = fresh.map((folder, index) => diskSetting(`disk${first + index}`, folder, paths))
  const disks = [...staying, ...added]
  const replicaCount = choice.replicas ?? settings.replicaCount
  if (replicaCount > disks.length) {
    throw bad(`${replicaCount} replicas need as many disks, and there are ${disks.length}`)
  }
  const notes = [
    ...added.map(({ device }, index) => `${fresh[index]} is new (${device})`),
    ...left.map(({ disk, path }) => `${path} (${disk.device}) is left out`),
    ...(replicaCount === settings.replicaCount
      ? []
      : [`of everything there are to be ${replicaCount} replicas, not ${settings.replicaCount}`]),
  ]
  return { settings: { ...settings, disks, replicaCount }, notes }
}

/**
 * Brings settings and builders to what was asked for. Done again after a crash it goes on: a disk that is in the settings, and
 * was never open, is still to be added.
 */
export async function changeDisks(
  choice: DiskChoice,
  folder: DataFolder,
  options: ChangeOptions & { readonly rings: Omit<RingPlan, 'devices'> },
): Promise<{ readonly folder: DataFolder; readonly notes: readonly string[] }> {
  const { paths } = folder
  await addPolicyRings(paths.rings, options.rings)
  const places = await readPlaces(paths.rings)
  const { settings, notes } = planDiskChange(choice, folder.settings, { paths, places })
  await checkSameDisks(settings, paths)
  // First the disks, so that no ring has one that nobody opens; last the replicas, so that they are asked for until they are.
  const { replicaCount } = folder.settings
  await writeSettings(paths, folder.settings, { ...settings, replicaCount })
  const seen = await readSeenDisks(paths)
  const devices = settings.disks
    .filter(({ device }) => !seen.has(device))
    .map(({ device }) => upDevice(device))
    .filter((device) => !places.wanted.has(deviceLabel(device)))
    .filter((device) => !places.placed.has(deviceLabel(device)))
  if (devices.length > 0) await changeTargets(paths.rings, { kind: 'add', devices }, options)
  if (settings.replicaCount !== replicaCount) {
    const of = settings.policies.filter((policy) => policy.replicaCount === undefined)
    const policies = new Set(of.map(({ index }) => index))
    const change = { kind: 'replicas', replicaCount: settings.replicaCount, policies } as const
    await changeTargets(paths.rings, change, options)
    await writeSettings(paths, { ...settings, replicaCount }, settings)
  }
  return { folder: { ...folder, settings }, notes }
}

async function writeSettings(paths: DataPaths, before: Settings, after: Settings): Promise<void> {
  const text = encodeSettings(after)
  if (text !== encodeSettings(before)) await replaceFile(paths.settings, text)
}

function refuseLeavingOut(
  disk: DiskSetting,
  path: string,
  { paths, places }: { readonly paths: DataPaths; readonly places: RingPlaces },
): void {
  const label = deviceLabel(upDevice(disk.device))
  const command = `npx swiftlet cluster drain --data ${paths.folder} ${label}`
  if (places.wanted.has(label)) {
    throw bad(
      `${path} (${disk.device}) holds data and is not among the disks: start with it, and run \`${command}\` before it is left out`,
    )
  }
  if (!places.placed.has(label) || places.lost.has(label)) return
  throw bad(
    `${path} (${disk.device}) is being drained: start with it until \`npx swiftlet cluster movement --data ${paths.folder}\` says that every partition is where it belongs`,
  )
}

/** Names are not used twice as long as a ring, or the list of lost devices, remembers one. */
function highestNumber(disks: readonly DiskSetting[], places: RingPlaces): number {
  const { wanted, placed, lost } = places
  const names = [...disks.map(({ device }) => device), ...wanted, ...placed, ...lost]
  return Math.max(0, ...names.map((name) => Number(/\d+$/.exec(name)?.[0] ?? 0)))
}

function bad(message: string): ServiceError {
  return new ServiceError('BadDisks', message, { status: 400 })
}
