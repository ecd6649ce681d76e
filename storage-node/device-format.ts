/** The file FORMAT of a device: what it is and how it is laid out. Drawn in docs/formats/segment.md. */
import { dirname } from 'node:path'
import type { Clock } from '../common/clock.ts'
import type { Disk } from '../common/disk.ts'
import { ServiceError, systemErrorCode } from '../common/errors.ts'
import type { Random } from '../common/random.ts'
import { writeDurably } from './durable-file.ts'
import { BlobStore } from './engine/blob-store.ts'
import { noteLearning } from './learning.ts'

export interface DeviceFormat {
  readonly format: 'swiftlet-device'
  readonly version: number
  /** 32 hex digits. */
  readonly uuid: string
  /** Number of log shards, a power of two up to 256; fixed for the life of the device. */
  readonly shards: number
  readonly createdMs: number
}

export const DEVICE_FORMAT_VERSION = 1

/** Reads the FORMAT of a device, or null if the folder has none. */
export async function readFormat(disk: Disk, directory: string): Promise<DeviceFormat | null> {
  const bytes = await disk.readWhole(`${directory}/FORMAT`)
  if (bytes === null) return null
  let format: DeviceFormat
  try {
    format = JSON.parse(Buffer.from(bytes).toString()) as DeviceFormat
  } catch (cause) {
    throw new ServiceError('BadFormat', `${directory}/FORMAT is damaged`, { cause })
  }
  if (format.format !== 'swiftlet-device') {
    throw new ServiceError('BadFormat', `${directory}/FORMAT is not that of a Swiftlet device`)
  }
  if (format.version !== DEVICE_FORMAT_VERSION) {
    const age = format.version > DEVICE_FORMAT_VERSION ? 'newer' : 'older'
    const advice =
      age === 'newer' ? 'start the newer version that wrote it' : 'no upgrade from it is known'
    const versions = `version ${format.version}, this program reads ${DEVICE_FORMAT_VERSION}`
    throw new ServiceError(
      'BadFormat',
      `${directory} has an ${age} format (${versions}): ${advice}`,
    )
  }
  return format
}

/** Lays out an empty device. The FORMAT file comes last: a folder without one is not a device yet. */
export async function formatDevice(
  directory: string,
  options: {
    readonly disk: Disk
    readonly clock: Clock
    readonly random: Random
    readonly shards: number
    /** It may take the place of one that was lost: it is not asked before its replicas were. */
    readonly learns?: boolean | undefined
  },
): Promise<DeviceFormat> {
  const { disk, clock, random, shards, learns } = options
  await disk.makeDirectory(directory)
  const strangers = (await disk.list(directory)).filter((name) => !isOwnName(name))
  if (strangers.length > 0) {
    const message = `${directory} is not empty (${strangers[0]}) and has no FORMAT: choose an empty folder`
    throw new ServiceError('BadFormat', message)
  }
  if ((await disk.list(`${directory}/seg`)).length > 0) {
    const message = `${directory} holds segments but no FORMAT: it was a device, and is not formatted over`
    throw new ServiceError('BadFormat', message)
  }
  // Folders above that were made just now lose their names, and all below, unless these are synced too.
  let above = directory
  do {
    above = dirname(above)
    await disk.syncDirectory(above).catch(ignoreForbidden)
  } while (above !== dirname(above))
  for (const folder of ['seg', 'blob', 'quarantine']) {
    await disk.makeDirectory(`${directory}/${folder}`)
  }
  await disk.syncDirectory(directory)
  await BlobStore.format(disk, directory)
  if (learns === true) {
    const note = { reason: 'its disk was empty', isEmpty: true }
    for (let shard = 0; shard < shards; shard++)
      await noteLearning({ disk, directory, shard }, note)
  }
  const format: DeviceFormat = {
    format: 'swiftlet-device',
    version: DEVICE_FORMAT_VERSION,
    uuid: Buffer.from(random.bytes(16)).toString('hex'),
    shards,
    createdMs: Math.floor(clock.nowMs()),
  }
  await writeDurably(disk, directory, 'FORMAT', `${JSON.stringify(format, null, 2)}\n`)
  return format
}

/** A folder that we may not open is none that we made. */
function ignoreForbidden(error: unknown): void {
  if (!['EACCES', 'EPERM', 'EROFS', 'EINVAL'].includes(systemErrorCode(error) ?? '')) throw error
}

/** What an interrupted format may have left, and what a file system puts there. */
const OWN_NAMES = new Set(['seg', 'blob', 'quarantine', 'idx', 'FORMAT.new', 'LOCK', 'lost+found'])

function isOwnName(name: string): boolean {
  return OWN_NAMES.has(name) || /^LEARNING-[0-9a-f]{2}(\.new)?$/.test(name)
}
