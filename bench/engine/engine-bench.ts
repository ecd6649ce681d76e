import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { siblingPath } from '../sibling.ts'
import type { DeviceTask, DeviceTaskResult, FillTask } from './device-tasks.ts'

export interface EngineBenchOptions {
  /** A folder on a real disk. */
  readonly folder: string
  readonly objects: number
  readonly bodyBytes: number
  readonly onStep?: (name: string, result: DeviceTaskResult) => void
}

export type EngineBenchResult = Readonly<Record<string, DeviceTaskResult>>

const OBJECTS_PER_FOLDER = 1000
const CONCURRENCY = 256

/** Fills one device, then measures its index, its memory, its starts and its listings, each in a process of its own. */
export async function runEngineBench(options: EngineBenchOptions): Promise<EngineBenchResult> {
  const folder = await mkdtemp(join(options.folder, 'swiftlet-engine-'))
  const path = join(folder, 'disk')
  const steps: Record<string, DeviceTaskResult> = {}
  const step = (name: string, result: DeviceTaskResult): void => {
    steps[name] = result
    options.onStep?.(name, result)
  }
  const { objects } = options
  const shape = { path, objects, objectsPerFolder: OBJECTS_PER_FOLDER }
  const fill = (from: number, to: number, end: FillTask['end']): FillTask => ({
    ...{ kind: 'fill', path, from, to, end },
    ...{
      objectsPerFolder: OBJECTS_PER_FOLDER,
      bodyBytes: options.bodyBytes,
      concurrency: CONCURRENCY,
    },
  })
  try {
    step('fill', await runTask(fill(0, objects, 'close')))
    step('footprint', footprint(path, objects))
    step('open after a clean stop', await runTask({ kind: 'open', reads: 20_000, ...shape }))
    step('listings', await runTask({ kind: 'list', ...shape }))
    const more = Math.max(1000, Math.floor(objects / 20))
    step('fill, then kill -9', await runTask(fill(objects, objects + more, 'hang')))
    step(
      'open after kill -9',
      await runTask({ kind: 'open', reads: 1000, ...shape, objects: objects + more }),
    )
    await rm(join(path, 'idx'), { recursive: true })
    step(
      'open without an index',
      await runTask({ kind: 'open', reads: 1000, ...shape, objects: objects + more }),
    )
    return steps
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function footprint(path: string, objects: number): DeviceTaskResult {
  const bytes = (folder: string): number =>
    Number(
      execFileSync('du', ['-sb', join(path, folder)])
        .toString()
        .split('\t')[0],
    )
  const [index, segments] = [bytes('idx'), bytes('seg')]
  return {
    indexMebibytes: index / 2 ** 20,
    indexBytesPerObject: index / objects,
    segmentBytesPerObject: segments / objects,
  }
}

/** All that the task reported, in one object. */
async function runTask(task: DeviceTask): Promise<DeviceTaskResult> {
  const child = fork(siblingPath(import.meta.url, './device-program'), {
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
  })
  const exited = once(child, 'exit')
  let result: DeviceTaskResult = {}
  child.on('message', (part) => {
    result = { ...result, ...(part as DeviceTaskResult) }
    if (task.kind === 'fill' && task.end === 'hang') child.kill('SIGKILL')
  })
  child.send(task)
  const [code, signal] = (await exited) as [number | null, string | null]
  if (code !== 0 && signal !== 'SIGKILL')
    throw new Error(`${task.kind} ended with ${code ?? signal}`)
  return result
}
