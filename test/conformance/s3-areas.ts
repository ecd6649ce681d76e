import type { TestOutcome } from './outcomes.ts'

type Rule = (name: string, has: (marker: string) => boolean, file: string) => boolean

/** Areas of the S3 API by the names and markers of ceph/s3-tests; the first that fits is the test's. */
const AREAS: Readonly<Record<string, Rule>> = {
  'S3 Select': (_name, _has, file) => file === 'test_s3select.py',
  'SNS topics': (_name, _has, file) => file === 'test_sns.py',
  IAM: (_name, _has, file) => file === 'test_iam.py',
  STS: (_name, _has, file) => file === 'test_sts.py',
  'headers, signature 2': (_name, has, file) => file === 'test_headers.py' && has('auth_aws2'),
  'headers, signature 4': (_name, _has, file) => file === 'test_headers.py',
  'access logging': (_name, has) => has('bucket_logging'),
  'cloud transition': (_name, has) => has('cloud_transition') || has('cloud_restore'),
  encryption: (name, has) =>
    has('encryption') || has('sse_s3') || has('bucket_encryption') || /_enc\[|sse|_kms/.test(name),
  'lifecycle, runs': (_name, has) => has('lifecycle_expiration') || has('lifecycle_transition'),
  lifecycle: (name, has) => has('lifecycle') || name.includes('lifecycle'),
  checksums: (name, has) => has('checksum') || name.includes('checksum'),
  'object attributes': (name) => /^test_get_.*attributes/.test(name),
  'conditional writes': (name, has) =>
    has('conditional_write') || /^test_(put|delete|multipart)_object_if|_conditional_/.test(name),
  'conditional reads': (name) => /^test_(get|copy|head)_object_if/.test(name),
  ownership: (name, has) => has('object_ownership') || name.includes('ownership'),
  'object lock': (name) => name.includes('object_lock'),
  'POST object': (name) => name.startsWith('test_post_object'),
  'public access block': (name) =>
    /public_block|policy_status|block_public|public_acls$/.test(name),
  'bucket policy': (name, has) => has('bucket_policy') || name.includes('_policy'),
  tagging: (name, has) => has('tagging') || /tagging|_tags/.test(name),
  CORS: (name) => name.includes('cors'),
  versioning: (name, has) => has('delete_marker') || name.includes('version'),
  'presigned and anonymous': (name) =>
    /^test_object_(raw|anon|put_authenticated|presigned|content_encoding)/.test(name),
  multipart: (name) => /multipart|upload_part/.test(name),
  copies: (name, has) => has('copy') || name.includes('copy'),
  listings: (name) => /^test_bucket_list(v2)?_|^test_basic_key_count/.test(name),
  'deletion of many': (name) => name.startsWith('test_multi_object'),
  ACLs: (name) => name.includes('acl') || name.startsWith('test_access_bucket'),
  'ranges, atomicity': (name) => /ranged|atomic|100_continue/.test(name),
  buckets: (name) => name.includes('bucket') || name.startsWith('test_account'),
  objects: (name) => name.includes('object'),
}

/** The area of the API that a test is about. */
export function s3AreaOf({ id, markers }: TestOutcome): string {
  const [path = '', name = ''] = id.split('::')
  const file = path.split('/').at(-1)!
  const found = Object.entries(AREAS).find(([, fits]) =>
    fits(name, (marker) => markers.includes(marker), file),
  )
  return found?.[0] ?? 'other'
}
