import { addVary, type Reply } from '../../reply.ts'
import { bucketSetting } from '../bucket/bucket-settings.ts'
import { findBucket } from '../bucket/find-bucket.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { emptyReply } from '../s3-reply.ts'
import { type CorsRule, corsHeaders, decodeCors, ruleFor } from './cors-rules.ts'

const METHOD = 'access-control-request-method'
const HEADERS = 'access-control-request-headers'

/** OPTIONS: what a browser asks before it lets a script ask. */
export async function preflight(call: S3Call): Promise<Reply> {
  const { exchange } = call
  const [origin, method] = [exchange.header('origin'), exchange.header(METHOD)]
  if (origin === undefined) {
    throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.')
  }
  if (method === undefined) {
    throw new S3Error('BadRequest', 'Invalid Access-Control-Request-Method: null')
  }
  if (call.target.bucket === undefined) throw notAllowed()
  const rules = await rulesOf(call)
  if (rules === null) {
    throw new S3Error('AccessForbidden', 'CORSResponse: CORS is not enabled for this bucket.')
  }
  const asked = { origin, method, headers: words(exchange.header(HEADERS)) }
  const rule = ruleFor(rules, asked)
  if (rule === undefined) throw notAllowed()
  return varied(emptyReply(200, corsHeaders(rule, asked)))
}

/** Adds to any answer what a browser needs to hand it to a script, if the bucket allows that. Never throws. */
export async function addCrossOrigin(call: S3Call, reply: Reply): Promise<void> {
  const { exchange } = call
  const origin = exchange.header('origin')
  if (origin === undefined || call.target.bucket === undefined || exchange.method === 'OPTIONS')
    return
  try {
    const rules = await rulesOf(call)
    const method = exchange.header(METHOD) ?? exchange.method
    const asked = { origin, method, headers: [] }
    const rule = rules === null ? undefined : ruleFor(rules, asked)
    if (rule !== undefined) varied(reply).headers.push(...corsHeaders(rule, asked))
  } catch {
    // The answer itself says what is wrong; without the bucket no origin is allowed.
  }
}

async function rulesOf(call: S3Call): Promise<readonly CorsRule[] | null> {
  const { info } = await findBucket(call, call.bucket)
  const text = bucketSetting(info, 'cors')
  return text === undefined ? null : decodeCors(text)
}

function varied(reply: Reply): Reply {
  for (const name of ['Origin', 'Access-Control-Request-Headers', 'Access-Control-Request-Method'])
    addVary(reply, name)
  return reply
}

function words(text: string | undefined): string[] {
  const names = (text ?? '').split(',').map((name) => name.trim().toLowerCase())
  return [...new Set(names.filter((name) => name !== ''))]
}

function notAllowed(): S3Error {
  return new S3Error(
    'AccessForbidden',
    'CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource’s CORS spec.',
  )
}
