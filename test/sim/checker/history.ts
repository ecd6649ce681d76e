/**
 * What clients did and saw. An operation has the moment at which it began and the one at which it was answered, as
 * positions in one order of all such moments.
 */

export const OPERATION_KINDS = [
  /** Unconditional. */
  'put',
  'delete',
  /** Replaces the metadata, keeps the data. */
  'post',
  /** PUT with If-None-Match: *. */
  'create',
  /** PUT with If-Match: the ETag of version `expected`. */
  'replace',
  /** DELETE with If-Match. */
  'remove',
  'get',
  'list',
] as const
export type OperationKind = (typeof OPERATION_KINDS)[number]

/** A name without an object. */
export const ABSENT = 'absent'

/**
 * - `ok`: it happened.
 * - `refused`: it did not happen, because the condition was false or there was nothing to change.
 * - `maybe`: nobody knows; it may happen any time later, too.
 * - `failed`: a read without an answer.
 */
export type Outcome = 'ok' | 'refused' | 'maybe' | 'failed'

export interface Operation {
  /** Also the version that a write makes. */
  readonly id: number
  readonly kind: OperationKind
  /** The object's name; of `list` the container's. */
  readonly key: string
  readonly begin: number
  /** Infinity while, or if, nobody knows. */
  readonly end: number
  readonly outcome: Outcome
  /** `replace` and `remove`: the version that must be current. */
  readonly expected?: number
  /** `get`: the state that was read, see `stateOf`. */
  readonly seen?: string
  /** `list`: the version by name; a text for what nobody wrote. */
  readonly rows?: ReadonlyMap<string, number | string>
  /** Who asked whom, when, and why it failed: for people. */
  readonly client?: string
  readonly beginMs?: number
  readonly endMs?: number
  readonly note?: string
}

/** The state of a name: which PUT wrote the data, and which POST the metadata if any did since. */
export function stateOf(version: number, metaVersion: number): string {
  return version === metaVersion ? `v${version}` : `v${version}+m${metaVersion}`
}

/** The version of the data of a state; undefined if there is none. */
export function versionOf(state: string): number | undefined {
  return state === ABSENT ? undefined : Number(/^v(\d+)/.exec(state)![1])
}

/** One line for people. */
export function showOperation(operation: Operation): string {
  const { id, kind, key, outcome, expected, seen, rows, client, beginMs, endMs, note } = operation
  const time = (ms: number | undefined) => (ms === undefined ? '' : (ms / 1000).toFixed(4))
  const what = [
    `#${id}`,
    `${time(beginMs)}..${Number.isFinite(operation.end) ? time(endMs) : '?'}`,
    `[${operation.begin},${operation.end}]`,
    client ?? '',
    kind,
    key,
    expected === undefined ? '' : `if v${expected}`,
    '->',
    outcome,
    seen ?? '',
    rows === undefined ? '' : `{${[...rows].map(([name, v]) => `${name}:${v}`).join(' ')}}`,
    note === undefined ? '' : `(${note})`,
  ]
  return what.filter((part) => part !== '').join(' ')
}
