import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a test hangs its clean-up on. */
export interface Teardown {
  teardown(action: () => unknown): unknown
}

/** A private folder that goes when the test ends, after everything that was registered later. */
export async function probeFolder(t: Teardown, name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `swiftlet-${name}-`))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }))
  return folder
}
