import type { Clock } from '../clock.ts'
import { openLevelState } from './level-state.ts'
import { openPostgresState } from './postgres-state.ts'
import type { StateStore } from './state-store.ts'

export interface OpenStateOptions {
  /** Whose rows, where several services share a database: `identity`. */
  readonly service?: string
  readonly clock?: Clock
}

/** The store that a text of the configuration means: `postgres://…`, or else a folder. */
export function openState(place: string, options: OpenStateOptions = {}): Promise<StateStore> {
  return /^postgres(ql)?:\/\//.test(place)
    ? openPostgresState(place, options)
    : openLevelState(place, options.clock === undefined ? {} : { clock: options.clock })
}
