/** What a request is called in the access log: `REST.GET.OBJECT`. Pure. */

/** What stands behind the method, by the parameter that makes a request something special. */
const OF_BUCKET: Readonly<Record<string, string>> = {
  acl: 'ACL',
  cors: 'CORS',
  delete: 'MULTI_OBJECT_DELETE',
  encryption: 'ENCRYPTION',
  lifecycle: 'LIFECYCLE',
  location: 'LOCATION',
  logging: 'LOGGING_STATUS',
  notification: 'NOTIFICATION',
  'object-lock': 'OBJECT_LOCK_CONFIGURATION',
  ownershipControls: 'OWNERSHIP_CONTROLS',
  policy: 'BUCKETPOLICY',
  policyStatus: 'POLICY_STATUS',
  publicAccessBlock: 'PUBLIC_ACCESS_BLOCK',
  replication: 'REPLICATION',
  requestPayment: 'REQUEST_PAYMENT',
  tagging: 'TAGGING',
  uploads: 'UPLOADS',
  versioning: 'VERSIONING',
  versions: 'BUCKETVERSIONS',
  website: 'WEBSITE',
}
const OF_OBJECT: Readonly<Record<string, string>> = {
  acl: 'ACL',
  attributes: 'OBJECT_ATTRIBUTES',
  'legal-hold': 'OBJECT_LOCK_LEGALHOLD',
  restore: 'RESTORE',
  retention: 'OBJECT_LOCK_RETENTION',
  select: 'SELECT',
  tagging: 'OBJECT_TAGGING',
  torrent: 'TORRENT',
  uploadId: 'UPLOAD',
  uploads: 'UPLOADS',
}

export interface LoggedRequest {
  readonly method: string
  readonly hasKey: boolean
  readonly isCopy: boolean
  readonly isWebsite: boolean
  /** Of the query, in their order. */
  readonly parameters: readonly string[]
}

export function logOperation(request: LoggedRequest): string {
  const { method, hasKey, isCopy, isWebsite, parameters } = request
  if (isWebsite) return `WEBSITE.${method}.OBJECT`
  if (method === 'OPTIONS') return 'REST.OPTIONS.PREFLIGHT'
  if (!hasKey) return `REST.${method}.${namedBy(OF_BUCKET, parameters) ?? 'BUCKET'}`
  const isPart = method === 'PUT' && parameters.includes('uploadId')
  if (isCopy && method === 'PUT') return isPart ? 'REST.COPY.PART' : 'REST.COPY.OBJECT'
  if (isPart) return 'REST.PUT.PART'
  // A GET of a part is one of the object.
  const others = parameters.filter((name) => name !== 'partNumber')
  return `REST.${method}.${namedBy(OF_OBJECT, others) ?? 'OBJECT'}`
}

function namedBy(
  names: Readonly<Record<string, string>>,
  parameters: readonly string[],
): string | undefined {
  const found = parameters.find((name) => Object.hasOwn(names, name))
  return found === undefined ? undefined : names[found]
}
