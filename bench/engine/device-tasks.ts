import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../common/clock.ts'
import { systemRandom } from '../../common/random.ts'
import type { ListQuery } from '../../common/storage-node.ts'
import { type LocalNode, openLocalNode } from '../../storage-node/local-node.ts'
import { DEVICE, EngineWriter, objectName } from './engine-writer.ts'

/** What a process does with a device folder, so that it can be killed and its memory is its own. */
export type DeviceTask =
  | FillTask
  | {
      readonly kind: 'open'
      readonly path: string
      readonly objects: number
      readonly objectsPerFolder: number
      /** Reads to time. */
      readonly reads: number
    }
  | {
      readonly kind: 'list'
      readonly path: string
      readonly objects: number
      readonly objectsPerFolder: number
    }

export interface FillTask {
  readonly kind: 'fill'
  readonly path: string
  /** Numbers of the first object and of the one behind the last. */
  readonly from: number
  readonly to: number
  readonly objectsPerFolder: number
  readonly bodyBytes: number
  /** Writes in flight. */
  readonly concurrency: number
  /** What it does at the end: close cleanly, or wait to be killed. */
  readonly end: 'close' | 'hang'
}

export type DeviceTaskResult = Readonly<Record<string, number>>

const CONTAINER = 'million'

export async function runDeviceTask(
  task: DeviceTask,
  report: (result: DeviceTaskResult) => void,
): Promise<void> {
  const beforeMs = performance.now()
  const node = await openLocalNode({
    devices: [{ name: DEVICE, path: task.path }],
    clock: systemClock,
    random: systemRandom,
  })
  const openMs = performance.now() - beforeMs
  const writer = new EngineWriter(node, CONTAINER)
  if (task.kind === 'fill') report({ openMs, ...(await fill(writer, task)), ...memory() })
  if (task.kind === 'open')
    report({ openMs, ...memory(), ...(await timeReads(node, writer, task)) })
  if (task.kind === 'list')
    report({ openMs, ...(await timeListings(node, writer, task)), ...memory() })
  // Killed here.
  if (task.kind === 'fill' && task.end === 'hang') await sleep(2 ** 31 - 1)
  const closeStartMs = performance.now()
  await node.close()
  report({ closeMs: performance.now() - closeStartMs })
}

async function fill(writer: EngineWriter, task: FillTask): Promise<DeviceTaskResult> {
  if (task.from === 0) await writer.makeContainer()
  const body = Buffer.alloc(task.bodyBytes, 'x')
  const cpuBefore = process.cpuUsage()
  const startMs = performance.now()
  let next = task.from
  const client = async (): Promise<void> => {
    while (next < task.to) await writer.put(objectName(next++, task.objectsPerFolder), body)
  }
  await Promise.all(Array.from({ length: task.concurrency }, client))
  const seconds = (performance.now() - startMs) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  const count = task.to - task.from
  return { objectsPerSecond: count / seconds, cpuUsPerObject: (cpu.user + cpu.system) / count }
}

async function timeReads(
  node: LocalNode,
  writer: EngineWriter,
  task: { readonly objects: number; readonly objectsPerFolder: number; readonly reads: number },
): Promise<DeviceTaskResult> {
  const startMs = performance.now()
  for (let read = 0; read < task.reads; read++) {
    const index = systemRandom.below(task.objects)
    const found = await node.read(DEVICE, writer.object(objectName(index, task.objectsPerFolder)))
    if (!found || found.info.deleted) throw new Error(`object ${index} is not there`)
  }
  return { readUs: ((performance.now() - startMs) * 1000) / Math.max(1, task.reads) }
}

/** A page of 10,000 rows, or of rolled-up folders, at several places of the listing. */
async function timeListings(
  node: LocalNode,
  writer: EngineWriter,
  task: { readonly objects: number; readonly objectsPerFolder: number },
): Promise<DeviceTaskResult> {
  const name = (index: number): string => objectName(index, task.objectsPerFolder)
  const limit = Math.min(10_000, task.objects)
  const queries: Readonly<Record<string, ListQuery>> = {
    firstPageMs: { limit },
    middlePageMs: { limit, marker: name(Math.floor(task.objects / 2)) },
    lastPageMs: { limit, marker: name(task.objects - limit - 1) },
    reversePageMs: { limit, reverse: true, marker: name(Math.floor(task.objects / 2)) },
    prefixPageMs: { limit, prefix: name(Math.floor(task.objects / 2)).slice(0, 6) },
    allFoldersMs: { limit, delimiter: '/' },
    tenFoldersInTheMiddleMs: {
      limit: 10,
      delimiter: '/',
      marker: name(Math.floor(task.objects / 2)),
    },
    oneRowMs: { limit: 1, marker: name(Math.floor(task.objects / 3)) },
  }
  const results: Record<string, number> = {}
  for (const [label, query] of Object.entries(queries)) {
    const times: number[] = []
    for (let round = 0; round < 5; round++) {
      const startMs = performance.now()
      const page = await node.list(DEVICE, writer.container, query)
      times.push(performance.now() - startMs)
      results[label.replace(/Ms$/, 'Entries')] = page?.entries.length ?? -1
    }
    results[label] = times.sort((a, b) => a - b)[2]!
  }
  return results
}

function memory(): DeviceTaskResult {
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    rssMebibytes: rss / 2 ** 20,
    heapMebibytes: heapUsed / 2 ** 20,
    externalMebibytes: external / 2 ** 20,
  }
}
