/**
 * What S3's policy of a container denies binds requests of the Swift API, too: a Deny that another door gets past is none.
 * What it allows is S3's alone. A container without a policy costs a look at its metadata.
 */
import { judgePolicy, type PolicyPrincipal } from '../../common/access-policy/judge-policy.ts'
import { BUCKET_POLICY, parsedPolicy } from '../../common/access-policy/parsed-policy.ts'
import type { PolicyDocument, Statement } from '../../common/access-policy/policy-document.ts'
import type { ConditionKeys } from '../../common/access-policy/policy-variables.ts'
import { principalKeys, tagValues } from '../../common/iam.ts'
import type { ItemInfo } from '../../common/storage-node.ts'
import type { Exchange } from '../exchange.ts'
import { decodeTags, tagsOfObject } from '../s3/tagging/tag-set.ts'
import type { AccessQuestion } from './access.ts'
import { S3_BUCKET_TAGGING, S3_POLICY, SEGMENTS_SUFFIX } from './foreign-meta.ts'
import type { SwiftPath } from './path.ts'
import { policyActions } from './policy-actions.ts'
import { principalOf, requestFacts } from './policy-facts.ts'

const EXISTING_TAG = 's3:existingobjecttag/'
const BUCKET_TAGS = ['s3:resourcetag/', 'aws:resourcetag/', 's3:buckettag/']

/** Whether it takes more than a look to know that no policy forbids it. */
export function mayBeForbidden(path: SwiftPath, container: ItemInfo | null): boolean {
  return (
    container !== null &&
    (!!container.meta.headers[S3_POLICY] || path.container?.endsWith(SEGMENTS_SUFFIX) === true)
  )
}

/** Whether the container's policy denies the request; of parts of a bucket's objects: the bucket's. */
export async function isForbidden(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): Promise<boolean> {
  const path = question.path ?? exchange.path!
  if (question.isPart === true || !mayBeForbidden(path, container)) return false
  if (exchange.judged?.has(placeKey(path)) === true) return false
  if (denies({ exchange, question, container: container! }, 'by name')) return true
  const name = path.container!
  if (!name.endsWith(SEGMENTS_SUFFIX) || name === SEGMENTS_SUFFIX) return false
  const bucket = name.slice(0, -SEGMENTS_SUFFIX.length)
  const owner = await exchange.proxy.backend.cachedContainer(path.account, bucket)
  // Nothing says which object a part is of: what is denied of one is denied of all.
  return owner !== null && denies({ exchange, question, container: owner }, 'by none')
}

/** What only the object's own tags can tell; undefined: nothing. */
export function forbidsObject(
  exchange: Exchange,
  question: AccessQuestion,
  container: ItemInfo | null,
): ((object: ItemInfo) => boolean) | undefined {
  const policy = container === null ? null : policyOf(container)
  const path = question.path ?? exchange.path!
  if (policy === null || exchange.judged?.has(placeKey(path)) === true) return undefined
  if (!isRead(exchange, question)) return undefined
  if (!policy.statements.some(asksForTags)) return undefined
  return (object) => denies({ exchange, question, container: container!, object }, 'by name')
}

/** From here on the place's policy has been judged by whoever knows better what is asked. */
export function markJudged(exchange: Exchange, place: SwiftPath): void {
  const { judged } = exchange
  const key = placeKey(place)
  if (judged?.has(key) !== true) exchange.judged = new Set([...(judged ?? []), key])
}

/** Where the parts of a bucket's multipart uploads lie. */
export function segmentsOf({ account, container }: SwiftPath): SwiftPath {
  return { account, container: `${container}${SEGMENTS_SUFFIX}`, object: undefined }
}

function placeKey({ account, container }: SwiftPath): string {
  return `${account}/${container}`
}

interface Asked {
  readonly exchange: Exchange
  readonly question: AccessQuestion
  readonly container: ItemInfo
  /** Absent: nobody has looked at it yet. */
  readonly object?: ItemInfo
}

function denies(asked: Asked, resources: 'by name' | 'by none'): boolean {
  const { exchange, question, container, object } = asked
  const policy = policyOf(container)
  if (policy === null) return false
  const path = question.path ?? exchange.path!
  const statements = policy.statements.filter(
    (statement) =>
      statement.effect === 'Deny' &&
      (object !== undefined || !asksForTags(statement) || !isRead(exchange, question)),
  )
  const document = {
    ...policy,
    statements: resources === 'by name' ? statements : statements.map(aboutAll),
  }
  const keys = keysOf(asked, path)
  const principal = principalBehind(exchange)
  return actionsOf(exchange, question).some(
    (action) =>
      judgePolicy(document, { action, resource: arnOf(path), principal, keys }) === 'deny',
  )
}

function policyOf({ meta }: ItemInfo): PolicyDocument | null {
  const text = meta.headers[S3_POLICY]
  return text ? parsedPolicy(text, BUCKET_POLICY) : null
}

function aboutAll(statement: Statement): Statement {
  return { ...statement, resource: undefined }
}

function asksForTags({ conditions }: Statement): boolean {
  return conditions.some(({ key }) => key.startsWith(EXISTING_TAG))
}

const READING = ['GET', 'HEAD', 'COPY']

/** As in S3, tags of what lies there count where it is read. */
function isRead(exchange: Exchange, { acl, method, path }: AccessQuestion): boolean {
  if (acl === 'write' || (path ?? exchange.path!).object === undefined) return false
  return READING.includes(method ?? exchange.method)
}

function actionsOf(exchange: Exchange, question: AccessQuestion): readonly string[] {
  const path = question.path ?? exchange.path!
  const isOwn = question.path === undefined || question.acl === 'none'
  const { query, headers } = exchange
  return policyActions({
    method: question.method ?? exchange.method,
    path,
    isVersion: isOwn && !!query.get('version-id'),
    listsVersions: query.has('versions'),
    headerNames: Object.keys(headers),
  })
}

/** Signed URLs and forms act for the account whose key has signed them. */
function principalBehind({ authority, caller }: Exchange): PolicyPrincipal | null {
  if (authority === null) return principalOf(caller)
  const accounts = [authority.account]
  return { arns: [], accounts, canonicalIds: accounts, federated: [] }
}

function arnOf({ container, object }: SwiftPath): string {
  return `arn:aws:s3:::${container}${object === undefined ? '' : `/${object}`}`
}

const OF_LISTING: Readonly<Record<string, string>> = {
  's3:prefix': 'prefix',
  's3:delimiter': 'delimiter',
  's3:max-keys': 'limit',
}
const OF_OBJECT: Readonly<Record<string, string>> = { 's3:versionid': 'version-id' }

function keysOf({ exchange, container, object }: Asked, path: SwiftPath): ConditionKeys {
  const inQuery = path.object === undefined ? OF_LISTING : OF_OBJECT
  const facts = requestFacts(exchange)
  const iam = exchange.caller?.iam
  const own = iam === undefined ? null : principalKeys(iam)
  return (name) => {
    const said = own?.(name)
    if (said !== undefined) return said
    if (Object.hasOwn(facts, name)) return listOf(facts[name]!())
    if (Object.hasOwn(inQuery, name)) return listOf(exchange.query.get(inQuery[name]!))
    if (name.startsWith(EXISTING_TAG))
      return object && tagValues(tagsOfObject(object), name.slice(EXISTING_TAG.length))
    const beginning = BUCKET_TAGS.find((one) => name.startsWith(one))
    if (beginning === undefined) return undefined
    const tags = decodeTags(container.meta.headers[S3_BUCKET_TAGGING])
    return tagValues(tags, name.slice(beginning.length))
  }
}

function listOf(value: string | undefined): readonly string[] | undefined {
  return value === undefined ? undefined : [value]
}
