/**
 * Audit events as Keystone sends them: a CADF event (DMTF DSP0262, as pyCADF writes it) in the envelope of a notification.
 * https://docs.openstack.org/keystone/latest/admin/event_notifications.html
 */

export const OUTCOMES = ['success', 'failure', 'pending'] as const
export type AuditOutcome = (typeof OUTCOMES)[number]

/** Who did it, as far as that is known. */
export interface AuditInitiator {
  readonly userId?: string
  readonly userName?: string
  readonly projectId?: string
  readonly domainId?: string
  /** The service's id of the request, which its answer and its log have too. */
  readonly requestId: string
  readonly address: string
  readonly agent: string
}

/** What has happened. */
export interface AuditFact {
  /** As in `identity.user.created`, without the service. */
  readonly eventType: string
  /** `created.user`, `authenticate`. */
  readonly action: string
  readonly outcome: AuditOutcome
  readonly initiator: AuditInitiator
  readonly target: { readonly typeUri: string; readonly id: string }
  /** Why it was not done. */
  readonly reason?: { readonly code: number; readonly type: string }
  /** More keys of the event: `resource_info`, `role`, `project`. */
  readonly more?: Readonly<Record<string, unknown>>
}

/** What makes the same fact an event of its own. */
export interface AuditOrigin {
  readonly nowMs: number
  /** Two UUIDs: of the message and of the event. */
  readonly messageId: string
  readonly eventId: string
  /** `identity.host1`. */
  readonly publisherId: string
  /** The identity service's own id in the catalog. */
  readonly observerId: string
}

/** What a message bus is given: JSON. */
export interface AuditNotification {
  readonly event_type: string
  readonly message_id: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly priority: 'INFO'
  readonly publisher_id: string
  readonly timestamp: string
}

/** CADF's word for what is not known. */
export const UNKNOWN = 'unknown'
export const ACCOUNT_USER = 'service/security/account/user'

/** The fact as a notification. */
export function cadfNotification(fact: AuditFact, origin: AuditOrigin): AuditNotification {
  const { eventType, action, outcome, initiator, target, reason, more = {} } = fact
  const time = new Date(origin.nowMs).toISOString()
  return {
    event_type: `identity.${eventType}`,
    message_id: origin.messageId,
    payload: {
      typeURI: 'http://schemas.dmtf.org/cloud/audit/1.0/event',
      eventType: 'activity',
      id: origin.eventId,
      eventTime: time.replace('Z', '000+00:00'),
      action,
      outcome,
      observer: { typeURI: 'service/security', id: origin.observerId },
      initiator: initiatorResource(initiator),
      target: { typeURI: target.typeUri, id: target.id },
      ...(reason !== undefined && {
        reason: { reasonCode: String(reason.code), reasonType: reason.type },
      }),
      ...more,
    },
    priority: 'INFO',
    publisher_id: origin.publisherId,
    timestamp: time.replace('T', ' ').replace('Z', '000'),
  }
}

function initiatorResource(initiator: AuditInitiator): Readonly<Record<string, unknown>> {
  const { userId, userName, projectId, domainId, requestId, address, agent } = initiator
  return {
    typeURI: ACCOUNT_USER,
    id: userId ?? UNKNOWN,
    ...(userId !== undefined && { user_id: userId }),
    ...(userName !== undefined && { username: userName }),
    ...(projectId !== undefined && { project_id: projectId }),
    ...(domainId !== undefined && { domain_id: domainId }),
    request_id: requestId,
    host: { address, ...(agent !== '' && { agent }) },
  }
}
