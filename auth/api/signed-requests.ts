import { ServiceError } from '../../common/errors.ts'
import type { Answer } from '../../common/http/route.ts'
import { checkSchema, type Schema } from '../../common/http/schema.ts'
import {
  equalTexts,
  requestSignature,
  type SignedRequest,
  textSignature,
} from '../ec2/aws-signature.ts'
import { invalid, unauthorized } from '../errors.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { openBlob } from '../secrets/credential-blobs.ts'
import { applicationCredentials } from '../tables/application-credentials.ts'
import { type CredentialRow, INACTIVE } from '../tables/credentials.ts'
import { accessTokens } from '../tables/oauth1.ts'
import { projects } from '../tables/tables.ts'
import { trusts } from '../tables/trusts.ts'
import {
  accessTokenDelegation,
  applicationCredentialDelegation,
  type Delegation,
  trustDelegation,
} from '../tokens/delegation.ts'
import { grantToken, type IssuedToken } from '../tokens/issuing.ts'
import { enabledUser, projectScope } from '../tokens/token-subject.ts'
import { type AccessKeyBlob, parseAccessKey } from './credentials.ts'
import { findAccessKey } from './ec2-credentials.ts'
import { enforce, type IdentityCall, type IdentityRoute } from './identity-call.ts'
import { showToken } from './token-view.ts'

/** What a service got from a client who signed it with an access key; for a token of the key's user. */
export const signedRequestRoutes: readonly IdentityRoute[] = [
  { method: 'POST', path: '/v3/ec2tokens', handle: signInByRequest },
  { method: 'POST', path: '/v3/s3tokens', handle: signInByText },
]

const TEXTS = { type: 'object', additionalProperties: { type: 'string' } }
const CREDENTIALS: Schema = {
  type: 'object',
  properties: {
    access: { type: 'string' },
    signature: { type: 'string' },
    token: { type: 'string' },
    verb: { type: 'string' },
    host: { type: 'string' },
    path: { type: 'string' },
    body_hash: { type: 'string' },
    headers: TEXTS,
    params: {
      type: 'object',
      additionalProperties: { type: ['string', 'number', 'boolean', 'null'] },
    },
  },
}

interface Passed {
  readonly access: string
  readonly signature?: string
  readonly token?: string
  readonly verb?: string
  readonly host?: string
  readonly path?: string
  readonly body_hash?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly params?: Readonly<Record<string, unknown>>
}

/** Whether it is signed with the secret; throws 401 if not. */
type SignatureCheck = (passed: Passed, secret: string) => void

async function signInByRequest(call: IdentityCall): Promise<Answer> {
  enforce(call, 'ec2tokens_validate')
  const { token, subject } = await signIn(call, checkRequest)
  return {
    status: 200,
    headers: { 'X-Subject-Token': token },
    body: { token: await showToken(call, subject, { catalog: true }) },
  }
}

/** The token itself stays here: whoever asks learns what it says. */
async function signInByText(call: IdentityCall): Promise<Answer> {
  enforce(call, 's3tokens_validate')
  const { subject } = await signIn(call, checkText)
  return {
    status: 200,
    body: { token: await showToken(call, subject, { catalog: true }) },
  }
}

async function signIn(call: IdentityCall, check: SignatureCheck): Promise<IssuedToken> {
  const { parts } = call.context
  const passed = passedOf(call)
  const row = await findAccessKey(parts, passed.access)
  if (row === undefined) {
    throw new ServiceError('NotFound', 'EC2 access key not found.', { status: 404 })
  }
  const blob = parseAccessKey(openBlob(parts, row))
  if (typeof blob.secret !== 'string') throw unauthorized('the access key has no secret')
  check(passed, blob.secret)
  checkTime(parts, passed)
  return tokenOfAccessKey(parts, row, blob)
}

function passedOf(call: IdentityCall): Passed {
  if (Object.keys(call.body).length === 0) throw invalid('request must include a request body')
  const { credentials, credential, ec2Credentials } = call.body
  const found = credentials || credential || ec2Credentials || {}
  checkSchema(CREDENTIALS, found)
  const passed = found as Partial<Passed>
  if (passed.access === undefined) throw unauthorized('no signature supplied')
  return passed as Passed
}

function checkRequest(passed: Passed, secret: string): void {
  const { signature = '', host = '' } = passed
  const request = requestOf(passed)
  // Some clients sign without the port.
  const bare = { ...request, host: host.replace(/:\d*$/, '') }
  for (const candidate of [request, bare]) {
    const wanted = requestSignature(candidate, secret)
    if (wanted !== null && equalTexts(wanted, signature)) return
  }
  throw unauthorized('wrong signature')
}

function requestOf(passed: Passed): SignedRequest {
  const { verb = '', host = '', path = '', body_hash: bodyHash = '', headers = {} } = passed
  const params = Object.entries(passed.params ?? {}).map(([name, value]) => [name, String(value)])
  return { verb, host, path, bodyHash, headers, params: Object.fromEntries(params) }
}

function checkText({ token, signature = '' }: Passed, secret: string): void {
  if (token === undefined) throw unauthorized('no text that was signed')
  const wanted = textSignature(Buffer.from(token, 'base64url'), secret)
  if (wanted === null || !equalTexts(wanted, signature)) throw unauthorized('wrong signature')
}

/** A request that says when it was signed is good only around then. */
function checkTime(
  { clock, settings }: IdentityParts,
  { params = {}, headers = {} }: Passed,
): void {
  const text = params.Timestamp ?? headers['X-Amz-Date'] ?? params['X-Amz-Date']
  if (text === undefined) return
  const signedMs = parseTime(String(text))
  const lifeMs = settings.signedRequestSeconds * 1000
  if (!(Math.abs(clock.nowMs() - signedMs) <= lifeMs)) throw unauthorized('signed at another time')
}

function parseTime(text: string): number {
  const compact = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (compact === null) return Date.parse(text)
  const [, year, month, day, hour, minute, second] = compact
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

/** A token of who holds the key, with the rights that it was made by; 401 if they are gone. */
export async function tokenOfAccessKey(
  parts: IdentityParts,
  row: CredentialRow,
  blob: AccessKeyBlob,
): Promise<IssuedToken> {
  const { state } = parts
  if (row.extra[INACTIVE] === true) throw unauthorized('the key is switched off')
  await parts.directories.keepFresh(row.userId)
  await enabledUser(state, row.userId)
  const scope = await projectScope(state, await projects.get(state, row.projectId ?? ''))
  const delegation = await delegationOf(parts, row, blob)
  return grantToken(parts, {
    userId: row.userId,
    methods: ['ec2credential'],
    scope,
    ...(delegation !== undefined && { delegation }),
  })
}

/** What the access key was made by; 401 if that is gone, or is for another project or user. */
async function delegationOf(
  parts: IdentityParts,
  row: CredentialRow,
  blob: AccessKeyBlob,
): Promise<Delegation | undefined> {
  const { state, clock } = parts
  const { trust_id: trustId, app_cred_id: credentialId, access_token_id: tokenId } = blob
  if (typeof trustId === 'string') {
    const trust = await trusts.get(state, trustId)
    const userId = trust?.impersonation ? trust.trustorId : trust?.trusteeId
    if (trust?.projectId !== row.projectId || userId !== row.userId) {
      throw unauthorized('no such trust')
    }
    return trustDelegation(state, trustId, clock.nowMs())
  }
  if (typeof credentialId === 'string') {
    const credential = await applicationCredentials.get(state, credentialId)
    if (credential?.projectId !== row.projectId || credential.userId !== row.userId) {
      throw unauthorized('no such application credential')
    }
    return applicationCredentialDelegation(credential, clock.nowMs())
  }
  if (typeof tokenId === 'string') {
    const token = await accessTokens.get(state, tokenId)
    if (token?.projectId !== row.projectId || token.userId !== row.userId) {
      throw unauthorized('no such access token')
    }
    return accessTokenDelegation(token, clock.nowMs())
  }
  return undefined
}
