import type { MessagePort } from 'node:worker_threads'
import type { ArrivalReport, PartitionMove } from '../../common/cluster-member.ts'
import type { IndexFailure } from '../../storage-node/device.ts'
import type { PlainError } from '../../storage-node/threads/messages.ts'
import type { Peers } from '../../storage-node/threads/peers.ts'
import type { LogsOptions } from '../logs.ts'
import type { OpenStoreOptions } from '../open-store.ts'

/** What a store needs to know that shares its devices with other threads. */
export interface StoreThread {
  readonly peers: Peers
  /** Memory of the ChangeMarks of all threads. */
  readonly marks: SharedArrayBuffer
  /** Memory of the Turns of all threads. */
  readonly turns: SharedArrayBuffer
  /** The other threads have been at work meanwhile. */
  readonly isRestart: boolean
  readonly onIndexFailure: (device: string, failure: IndexFailure) => void
}

/** What a thread is started with. */
export interface ThreadData {
  readonly index: number
  readonly count: number
  /** The other threads have been at work meanwhile. */
  readonly isRestart: boolean
  /** Memory of the ChangeMarks of all threads. */
  readonly marks: SharedArrayBuffer
  /** Memory of the Turns of all threads. */
  readonly turns: SharedArrayBuffer
  /** Its own descriptor of the shared listening socket. */
  readonly listenFd: number
  readonly store: OpenStoreOptions
  readonly logs: Omit<LogsOptions, 'clock'>
}

/** What a thread does when the rings change: its part of ClusterMember. */
export type MemberCall =
  | { readonly name: 'learnRings'; readonly set: Uint8Array }
  | {
      readonly name: 'arrivals'
      readonly device: string
      readonly moves: readonly PartitionMove[]
    }

/** From the supervisor to a thread. */
export type ToThread =
  | { readonly kind: 'peer'; readonly index: number; readonly port: MessagePort }
  | { readonly kind: 'settle' }
  | { readonly kind: 'listen' }
  | { readonly kind: 'close-door' }
  | { readonly kind: 'close' }
  | { readonly kind: 'reopen-logs' }
  | { readonly kind: 'member'; readonly id: number; readonly call: MemberCall }
  | { readonly kind: 'get-metrics'; readonly id: number }
  | { readonly kind: 'all-metrics'; readonly id: number; readonly text: string }

/** From a thread to the supervisor. */
export type FromThread =
  | { readonly kind: 'opened' }
  | { readonly kind: 'settled' }
  | { readonly kind: 'listening' }
  | { readonly kind: 'failed'; readonly error: PlainError }
  | { readonly kind: 'door-closed' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'index-failed'; readonly device: string; readonly failure: IndexFailure }
  | { readonly kind: 'member'; readonly id: number; readonly answer: number | ArrivalReport }
  | { readonly kind: 'member-failed'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: unknown }
  | { readonly kind: 'want-metrics'; readonly id: number }
