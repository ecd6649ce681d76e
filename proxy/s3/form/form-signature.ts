/** Who has signed a form's policy: in a field of Version 2 or of Version 4. */
import { createHmac } from 'node:crypto'
import type { Caller } from '../../../common/identity.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'
import { ALGORITHM, credentialOf } from '../signature/signature-claim.ts'
import { isEqualText } from '../signature/verify.ts'

type Fields = ReadonlyMap<string, string>

/** Of any of them there must be all of a version. */
const SIGNATURE_FIELDS = [
  'policy',
  'awsaccesskeyid',
  'signature',
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-signature',
] as const
type SignatureField = (typeof SIGNATURE_FIELDS)[number]

/** The signer; null if nobody has signed. Throws S3's errors for what is signed by half or wrongly. */
export async function formSigner(call: S3Call, fields: Fields): Promise<Caller | null> {
  if (!SIGNATURE_FIELDS.some((name) => fields.has(name))) return null
  const isVersion4 = fields.has('x-amz-algorithm') || fields.has('x-amz-signature')
  return isVersion4 ? signerV4(call, fields) : signerV2(call, fields)
}

async function signerV2(call: S3Call, fields: Fields): Promise<Caller> {
  const policy = needed(fields, 'policy')
  const accessKey = needed(fields, 'awsaccesskeyid')
  const signature = needed(fields, 'signature')
  const { secret, caller } = await credential(call, fields, accessKey)
  const wanted = createHmac('sha1', secret).update(policy, 'latin1').digest('base64')
  if (!isEqualText(wanted, signature)) throw wrongSignature(accessKey, policy, signature)
  return caller
}

async function signerV4(call: S3Call, fields: Fields): Promise<Caller> {
  const policy = needed(fields, 'policy')
  const signature = needed(fields, 'x-amz-signature')
  if (needed(fields, 'x-amz-algorithm') !== ALGORITHM) {
    throw invalid('x-amz-algorithm', `X-Amz-Algorithm only supports "${ALGORITHM}"`)
  }
  const date = needed(fields, 'x-amz-date')
  if (!/^\d{8}T\d{6}Z$/.test(date)) throw invalid('x-amz-date', 'X-Amz-Date is no such time')
  const { accessKey, scope } = credentialOf(needed(fields, 'x-amz-credential'), date, (message) =>
    invalid('x-amz-credential', message),
  )
  const { secret, caller } = await credential(call, fields, accessKey)
  const key = call.keyring.keys.get(secret, scope)
  if (!isEqualText(key.hex(policy), signature)) {
    throw wrongSignature(accessKey, policy, signature)
  }
  return caller
}

async function credential(call: S3Call, fields: Fields, accessKey: string) {
  const token = fields.get('x-amz-security-token')
  const found = await call.keyring.credentials.find(accessKey, token)
  if (found !== null) return found
  throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKey })
}

function needed(fields: Fields, name: SignatureField): string {
  const value = fields.get(name)
  if (value !== undefined && value !== '') return value
  throw invalid(
    name,
    `Bucket POST must contain a field named '${name}'.  If it is specified, please check the order of the fields.`,
  )
}

function invalid(name: SignatureField, message: string): S3Error {
  return new S3Error('InvalidArgument', message, { ArgumentName: name, ArgumentValue: '' })
}

function wrongSignature(accessKey: string, policy: string, signature: string): S3Error {
  return new S3Error('SignatureDoesNotMatch', undefined, {
    AWSAccessKeyId: accessKey,
    StringToSign: policy,
    SignatureProvided: signature,
  })
}
