/** What may happen to an object, by the names that AWS has for it. Pure. */

/** What happens here; in events they stand without `s3:`. */
export const EVENTS = [
  'ObjectCreated:Put',
  'ObjectCreated:Post',
  'ObjectCreated:Copy',
  'ObjectCreated:CompleteMultipartUpload',
  'ObjectRemoved:Delete',
  'ObjectRemoved:DeleteMarkerCreated',
  'LifecycleExpiration:Delete',
  'LifecycleExpiration:DeleteMarkerCreated',
  'ObjectTagging:Put',
  'ObjectTagging:Delete',
  'ObjectAcl:Put',
] as const
export type EventName = (typeof EVENTS)[number]

/** Names that AWS knows besides: what may be asked for, and does not happen here. */
const NEVER = [
  's3:TestEvent',
  's3:ReducedRedundancyLostObject',
  's3:ObjectRestore:*',
  's3:ObjectRestore:Post',
  's3:ObjectRestore:Completed',
  's3:ObjectRestore:Delete',
  's3:Replication:*',
  's3:Replication:OperationFailedReplication',
  's3:Replication:OperationMissedThreshold',
  's3:Replication:OperationReplicatedAfterThreshold',
  's3:Replication:OperationNotTracked',
  's3:LifecycleTransition',
  's3:IntelligentTiering',
]

const KNOWN: ReadonlySet<string> = new Set([
  ...EVENTS.map((event) => `s3:${event}`),
  ...EVENTS.map((event) => `s3:${event.slice(0, event.indexOf(':'))}:*`),
  ...NEVER,
])

/** Whether a configuration may name it: `s3:ObjectCreated:*`. */
export function isEventPattern(text: string): boolean {
  return KNOWN.has(text)
}

/** Whether the event is one that the pattern asks for. */
export function fitsEvent(pattern: string, event: EventName): boolean {
  const name = `s3:${event}`
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

/** Kinds of changes: what comes of a removal is known when it is done. */
export const OUTCOMES = {
  removed: ['ObjectRemoved:Delete', 'ObjectRemoved:DeleteMarkerCreated'],
  expired: ['LifecycleExpiration:Delete', 'LifecycleExpiration:DeleteMarkerCreated'],
} as const satisfies Readonly<Record<string, readonly EventName[]>>

/** What a request is about to do. */
export type ChangeKind = Exclude<EventName, RemovalName> | keyof typeof OUTCOMES
type RemovalName = (typeof OUTCOMES)[keyof typeof OUTCOMES][number]

/** The events that may come of it. */
export function eventsOf(kind: ChangeKind): readonly EventName[] {
  return kind in OUTCOMES ? OUTCOMES[kind as keyof typeof OUTCOMES] : [kind as EventName]
}

export function isRemoval(kind: ChangeKind): kind is keyof typeof OUTCOMES {
  return kind in OUTCOMES
}
