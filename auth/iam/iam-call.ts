import { judgePolicy } from '../../common/access-policy/judge-policy.ts'
import type { ConditionKeys } from '../../common/access-policy/policy-variables.ts'
import { type IamRequest, type IamResult, principalKeys, tagValues } from '../../common/iam.ts'
import type { IdentityParts } from '../identity-parts.ts'
import type { IamTag } from '../tables/iam.ts'
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

interface OwnJudgement {
  /** Allowed by a policy of their own, and by all that bounds them. */
  readonly said: boolean
  readonly isDenied: boolean
  /** Allowed by all that bounds them: the session's policies, the boundary. */
  readonly isWithin: boolean
}

/** What somebody's own policies say of an action, those of their session, and what bounds them. */
export function judgeOwn(
  parts: IdentityParts,
  caller: Pick<IamCaller, 'principal' | 'projectId'>,
  asked: { readonly action: string; readonly target: IamTarget },
): OwnJudgement {
  const { principal } = caller
  const { policies, sessionPolicies, boundary } = principal
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
  const judged = judge(policies)
  const bounds = [sessionPolicies, boundary === undefined ? undefined : [boundary]]
  const bounded = bounds.filter((texts) => texts !== undefined).map(judge)
  const isWithin = bounded.every((one) => one.includes('allow'))
  return {
    isDenied: [...judged, ...bounded.flat()].includes('deny'),
    isWithin,
    said: judged.includes('allow') && isWithin,
  }
}

/** The values of a tag of what is asked for, if a condition's key names one. */
export function resourceTags(tags: readonly IamTag[], name: string): readonly string[] | undefined {
  const key = /^(?:iam|aws):resourcetag\/(.+)$/.exec(name)?.[1]
  return key === undefined ? undefined : tagValues(tags, key)
}

/** A value of a condition's key. */
export function valueOrNone(value: string | undefined): readonly string[] | undefined {
  return value === undefined ? undefined : [value]
}

/** Conditions may ask what time it is. */
export function timeKeys(name: string, nowMs: number): readonly string[] | undefined {
  if (name === 'aws:currenttime') return [new Date(nowMs).toISOString()]
  return name === 'aws:epochtime' ? [String(Math.floor(nowMs / 1000))] : undefined
}
