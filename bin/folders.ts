import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemErrorCode } from '../common/errors.ts'

/**
 * Makes a folder of the owner's and the folders above it; nothing if it is there. By hand, because mkdir's own
 * `recursive` never returns below a file system that makes no folders, such as /proc.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const parent = dirname(path)
    if (systemErrorCode(error) === 'EEXIST') return
    if (systemErrorCode(error) !== 'ENOENT' || parent === path) throw error
    makeFolder(parent)
    mkdirSync(path, { mode: 0o700 })
  }
}
