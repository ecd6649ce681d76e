import { judgePolicy } from '../../common/access-policy/judge-policy.ts'
import type { ConditionKeys } from '../../common/access-policy/policy-variables.ts'
import { type IamRequest, type IamResult, principalKeys } from '../../common/iam.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { type IamCaller, namesOf } from './iam-caller.ts'
import { accessDenied } from './iam-error.ts'
import { parseOwn } from './policy-forms.ts'

/** A call of IAM's API, with who makes it. */
export interface IamCall {
  readonly parts: IdentityParts
  readonly caller: IamCaller
  readonly action: string
  readonly params: IamRequest['params']
  /** That it was signed with. */
  readonly accessKey: string
  readonly sessionToken?: string
}

/** Gives the elements of the result. */
export type IamHandler = (call: IamCall) => Promise<IamResult>

/** What a call is about: an ARN in the account of a project. */
export interface IamTarget {
  readonly projectId: string
  readonly arn: string
  /** Of the thing itself, for `iam:ResourceTag/…`. */
  readonly keys?: ConditionKeys
}

/**
 * Throws AccessDenied unless the caller may: the account's root may do all in it, everybody else what policies allow, in
 * the account they are about. A Deny binds the root, too.
 */
export function authorise(call: IamCall, target: IamTarget): void {
  const { caller, action } = call
  if (!isAllowed(call, target))
    throw accessDenied(caller.principal.arn, `iam:${action}`, target.arn)
}

function isAllowed({ parts, caller, action }: IamCall, target: IamTarget): boolean {
  const { principal, isRoot, projectId } = caller
  const isOwn = target.projectId === projectId
  const { said, isDenied } = judgeOwn(parts, caller, { action: `iam:${action}`, target })
  if (isDenied) return false
  return (isRoot && isOwn) || (said && (isOwn || principal.isCloud))
}

/** What somebody's own policies, and those of their session, say of an action. */
export function judgeOwn(
  parts: IdentityParts,
  caller: Pick<IamCaller, 'principal' | 'projectId'>,
  asked: { readonly action: string; readonly target: IamTarget },
): { readonly said: boolean; readonly isDenied: boolean } {
  const { principal } = caller
  const own = principalKeys(principal)
  const nowMs = parts.clock.nowMs()
  const request = {
    action: asked.action,
    resource: asked.target.arn,
    principal: namesOf(parts, caller),
    keys: (name: string) => asked.target.keys?.(name) ?? own(name) ?? timeKeys(name, nowMs),
  }
  const judge = (texts: readonly string[]) =>
    texts.map((text) => judgePolicy(parseOwn(text), request))
  const judged = judge(principal.policies)
  const session = principal.sessionPolicies === undefined ? null : judge(principal.sessionPolicies)
  return {
    isDenied: [...judged, ...(session ?? [])].includes('deny'),
    said: judged.includes('allow') && (session === null || session.includes('allow')),
  }
}

/** Conditions may ask what time it is. */
export function timeKeys(name: string, nowMs: number): readonly string[] | undefined {
  if (name === 'aws:currenttime') return [new Date(nowMs).toISOString()]
  return name === 'aws:epochtime' ? [String(Math.floor(nowMs / 1000))] : undefined
}
