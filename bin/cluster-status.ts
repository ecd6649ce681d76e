import type { Clock } from '../common/clock.ts'
import { ServiceError } from '../common/errors.ts'
import { silentLog } from '../common/log.ts'
import { readTextFile } from '../common/whole-file.ts'
import {
  type ClusterStatus,
  type MovementView,
  StatusReader,
} from '../proxy/status/cluster-status.ts'
import { dataPaths, readClusterKey, readCredentials } from './data-folder.ts'
import { readEndpoints } from './endpoints.ts'
import { RemoteNodes } from './remote-nodes.ts'
import { RingFolder } from './ring-folder.ts'
import { readMovement } from './ring-keeper.ts'
import { requireRings } from './rings.ts'
import { decodeSettings } from './settings.ts'

/** Where the state of a cluster can be read. */
export interface StatusSource {
  read(): Promise<ClusterStatus>
  close(): Promise<void>
}

/**
 * Storage nodes are asked themselves, so that no proxy needs to run; where the disks belong to `swiftlet up`, it is asked as
 * its administrator. Throws 404 `NoDataFolder`.
 */
export async function openStatusSource(
  folder: string,
  context: { readonly clock: Clock },
): Promise<StatusSource> {
  const paths = dataPaths(folder)
  const text = await readTextFile(paths.settings)
  if (text === null) {
    throw new ServiceError('NoDataFolder', `${folder}: no Swiftlet was started here yet`, {
      status: 404,
    })
  }
  const settings = decodeSettings(text, paths.settings)
  if (settings.disks.length > 0) return askProxy(folder)
  const rings = new RingFolder(paths.rings, { ...context, log: silentLog }, { isReader: true })
  requireRings(rings.current(), paths.rings, settings.policies)
  const nodes = new RemoteNodes(await readClusterKey(paths.clusterKey))
  const reader = new StatusReader({
    placements: () => rings.current().placements,
    nodeOf: (device) => nodes.of(device),
    clock: context.clock,
    movement: () => movementView(paths.rings),
    keptMs: 0,
  })
  return {
    async read() {
      // They may change while somebody watches.
      await rings.refresh()
      return reader.read()
    },
    close: () => nodes.close(),
  }
}

/** How far the movement is, as the keeper of a folder of rings wrote it last; null where none has. */
export async function movementView(folder: string): Promise<MovementView | null> {
  const movement = await readMovement(folder)
  if (movement === null) return null
  const { left, underWay, bytesPerSecond, secondsLeft, troubles } = movement
  return { left: left + underWay, bytesPerSecond, secondsLeft, troubles }
}

async function askProxy(folder: string): Promise<StatusSource> {
  const paths = dataPaths(folder)
  const { objectStore, signIn } = await readEndpoints(paths.endpoints)
  const { user, password } = await readCredentials(paths)
  const ask = async (url: string, headers: Record<string, string>): Promise<Response> => {
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(ANSWER_MS) }).catch(
      (cause: unknown) => {
        throw new ServiceError('NotRunning', `${objectStore} does not answer: is it running?`, {
          status: 503,
          cause,
        })
      },
    )
    if (answer.ok) return answer
    throw new ServiceError('Refused', `${url} answered ${answer.status}`, { status: answer.status })
  }
  return {
    async read() {
      const signedIn = await ask(signIn, { 'x-auth-user': user, 'x-auth-key': password })
      const token = signedIn.headers.get('x-auth-token') ?? ''
      const answer = await ask(`${objectStore}/status.json`, { 'x-auth-token': token })
      return (await answer.json()) as ClusterStatus
    },
    async close() {},
  }
}

const ANSWER_MS = 15_000
