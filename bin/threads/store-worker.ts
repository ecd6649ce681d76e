/** The main file of a thread: a proxy of its own and the shards that fall to it. Supervised by store-threads.ts. */

import assert from 'node:assert'
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock as clock } from '../../common/clock.ts'
import type { ArrivalReport } from '../../common/cluster-member.ts'
import { ServiceError } from '../../common/errors.ts'
import { systemRandom as random } from '../../common/random.ts'
import { plainError } from '../../storage-node/threads/messages.ts'
import { Peers } from '../../storage-node/threads/peers.ts'
import { openLogs } from '../logs.ts'
import { type OpenStore, openStore } from '../open-store.ts'
import type { FromThread, MemberCall, ThreadData, ToThread } from './store-thread.ts'
import { ThreadMetrics } from './thread-metrics.ts'

assert(parentPort !== null, 'this file is the main file of a thread')
const supervisor = parentPort
const {
  index,
  count,
  isRestart,
  marks,
  turns,
  listenFd,
  store: options,
  logs: logOptions,
} = workerData as ThreadData
const logs = openLogs({ ...logOptions, clock })
const peers = new Peers({ index, count, clock })
const metrics = new ThreadMetrics({
  withProcess: index === 0,
  ask: (id) => tell({ kind: 'want-metrics', id }),
})
let store: OpenStore | null = null

supervisor.on('message', (message: ToThread) => {
  handle(message).catch((error: unknown) => tell({ kind: 'failed', error: plainError(error) }))
})
openStore(
  // What crossed as a Buffer arrives as a bare Uint8Array.
  { ...options, ...(options.tls !== undefined && { tls: asBuffers(options.tls) }) },
  { clock, random, log: logs.log, metrics },
  {
    peers,
    isRestart,
    marks,
    turns,
    onIndexFailure: (device, failure) => tell({ kind: 'index-failed', device, failure }),
  },
).then(
  (opened) => {
    store = opened
    tell({ kind: 'opened' })
  },
  (error: unknown) => tell({ kind: 'failed', error: plainError(error) }),
)

async function handle(message: ToThread): Promise<void> {
  switch (message.kind) {
    case 'peer':
      peers.connect(message.index, message.port)
      break
    case 'settle':
      await store?.settle()
      tell({ kind: 'settled' })
      break
    case 'listen':
      await store?.listen({ fd: listenFd })
      tell({ kind: 'listening' })
      break
    case 'close-door':
      await store?.closeDoor()
      tell({ kind: 'door-closed' })
      break
    case 'close':
      await store?.close()
      peers.close()
      await logs.close()
      tell({ kind: 'closed' })
      supervisor.close()
      break
    case 'reopen-logs':
      // Signals reach the main thread only; here the event stands for the signal.
      process.emit('SIGHUP')
      break
    case 'member':
      try {
        tell({ kind: 'member', id: message.id, answer: await answerMember(message.call) })
      } catch (error) {
        tell({ kind: 'member-failed', id: message.id, error: plainError(error) })
      }
      break
    case 'get-metrics':
      tell({ kind: 'metrics', id: message.id, metrics: await metrics.own() })
      break
    case 'all-metrics':
      metrics.answer(message.id, message.text)
      break
  }
}

async function answerMember(call: MemberCall): Promise<number | ArrivalReport> {
  if (store === null) throw new ServiceError('NotOpen', 'this thread is being opened')
  if (call.name === 'learnRings') return store.member.learnRings(call.set)
  return store.member.arrivals(call.device, call.moves)
}

function tell(message: FromThread): void {
  supervisor.postMessage(message)
}

function asBuffers(tls: { readonly cert: Uint8Array; readonly key: Uint8Array }) {
  return { cert: Buffer.from(tls.cert), key: Buffer.from(tls.key) }
}
