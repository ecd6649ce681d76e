import { ServiceError } from '../common/errors.ts'
import type { RingData } from '../common/ring/ring.ts'
import {
  decodeRingFile,
  encodeRing,
  encodeSwiftRing,
  encodeSwiftRingVersion2,
  type RingFormat,
} from '../common/ring/ring-file.ts'
import { type Builder, ringOf } from './builder.ts'
import { decodeBuilder, encodeBuilder } from './builder-file.ts'
import { backupPath, readRingFile, replaceRingFile } from './builder-store.ts'
import type { RingFiles, RingIo } from './command.ts'

const SWIFT_SUFFIX = '.ring.gz'
const OWN_SUFFIX = '.ring'
const BUILDER_SUFFIX = '.builder'

/** The files that a path given by a person means: NAME.builder, and NAME.ring or NAME.ring.gz beside it. */
export function ringFilesOf(
  path: string,
  io: Pick<RingIo, 'nowMs'>,
): {
  readonly files: RingFiles
  readonly namedRingPath: string | undefined
  readonly readBuilder: () => Promise<Builder>
} {
  const ringSuffix = [SWIFT_SUFFIX, OWN_SUFFIX].find((suffix) => path.endsWith(suffix))
  const stem = withoutSuffix(path, ringSuffix ?? BUILDER_SUFFIX)
  const builderPath = ringSuffix === undefined ? path : `${stem}${BUILDER_SUFFIX}`
  const ringPaths = { swiftlet: `${stem}${OWN_SUFFIX}`, swift: `${stem}${SWIFT_SUFFIX}` }
  const namedRingPath = ringSuffix === undefined ? undefined : path
  const files: RingFiles = {
    builderPath,
    ringPaths,
    ringPathFor: (builder) =>
      namedRingPath ?? (builder.placement === 'md5' ? ringPaths.swift : ringPaths.swiftlet),
    readRing,
    builderExists: async () => (await readRingFile(builderPath)) !== null,
    saveBuilder: async (builder, options) => {
      const bytes = encodeBuilder(builder)
      if (options?.backup === true) {
        await replaceRingFile(backupPath(builderPath, io.nowMs() / 1000), bytes)
      }
      await replaceRingFile(builderPath, bytes)
    },
    saveRing: async (builder, options) => {
      const ringPath = options.format === 'swiftlet' ? ringPaths.swiftlet : ringPaths.swift
      const bytes = encodeAs(ringOf(builder), options)
      await replaceRingFile(backupPath(ringPath, io.nowMs() / 1000), bytes)
      await replaceRingFile(ringPath, bytes)
      return ringPath
    },
  }
  return { files, namedRingPath, readBuilder: () => readBuilder(builderPath) }
}

async function readBuilder(path: string): Promise<Builder> {
  const bytes = await readRingFile(path)
  if (bytes === null) {
    throw new ServiceError('BuilderMissing', `Ring Builder file does not exist: ${path}`)
  }
  return within(path, () => decodeBuilder(bytes))
}

async function readRing(
  path: string,
): Promise<{ readonly format: RingFormat; readonly data: RingData } | null> {
  const bytes = await readRingFile(path)
  return bytes === null ? null : within(path, () => decodeRingFile(bytes))
}

/** Names the file in whatever is wrong with its bytes. */
function within<T>(path: string, decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause
    throw new ServiceError(cause.code, `${path}: ${cause.message}`, { cause })
  }
}

function encodeAs(
  ring: RingData,
  options: { readonly format: RingFormat; readonly deviceIdBytes?: 2 | 4 },
): Uint8Array {
  switch (options.format) {
    case 'swiftlet':
      return encodeRing(ring)
    case 'swift-v1':
      return encodeSwiftRing(ring)
    case 'swift-v2':
      return encodeSwiftRingVersion2(ring, options)
  }
}

function withoutSuffix(path: string, suffix: string): string {
  return path.endsWith(suffix) ? path.slice(0, -suffix.length) : path
}
