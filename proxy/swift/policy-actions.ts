/** What a request of the Swift API would be by S3: what a bucket's policy may forbid it by. Pure. */
import type { SwiftPath } from './path.ts'

export interface SwiftRequest {
  readonly method: string
  readonly path: Pick<SwiftPath, 'object'>
  /** One version by its id. */
  readonly isVersion: boolean
  /** `?versions` of a container. */
  readonly listsVersions: boolean
  /** In lower case. */
  readonly headerNames: readonly string[]
}

/** Every one of them: who is denied one of them is denied the request. */
export function policyActions(request: SwiftRequest): readonly string[] {
  return request.path.object === undefined ? onContainer(request) : onObject(request)
}

/** Deleting by a time that comes is deleting. */
const EXPIRES = /^x-delete-(?:at|after)$/

function onObject({ method, isVersion, headerNames }: SwiftRequest): readonly string[] {
  const version = isVersion ? 'Version' : ''
  switch (method) {
    case 'GET':
    case 'HEAD':
    case 'COPY':
      return [`s3:GetObject${version}`]
    case 'DELETE':
      return [`s3:DeleteObject${version}`]
    default: {
      const deletes = headerNames.some((name) => EXPIRES.test(name))
      return deletes ? ['s3:PutObject', `s3:DeleteObject${version}`] : ['s3:PutObject']
    }
  }
}

function onContainer({ method, listsVersions, headerNames }: SwiftRequest): readonly string[] {
  switch (method) {
    case 'GET':
      return [listsVersions ? 's3:ListBucketVersions' : 's3:ListBucket']
    case 'HEAD':
      return ['s3:ListBucket']
    case 'DELETE':
      return ['s3:DeleteBucket']
    default: {
      const changes = headerNames.flatMap((name) => changeBy(name) ?? [])
      return [...new Set([...(method === 'PUT' ? ['s3:CreateBucket'] : []), ...changes])]
    }
  }
}

/** What headers of a container's PUT and POST change; the first that fits. */
const CHANGES = [
  { header: /^x-(?:remove-)?container-(?:read|write)$/, action: 's3:PutBucketAcl' },
  // Who has the key lets in whom he likes.
  { header: /^x-(?:remove-)?container-meta-temp-url-key/, action: 's3:PutBucketAcl' },
  { header: /^x-(?:remove-)?(?:versions|history)-/, action: 's3:PutBucketVersioning' },
  { header: /^x-(?:remove-)?container-sync-/, action: 's3:PutReplicationConfiguration' },
  { header: /^x-(?:remove-)?container-meta-access-control-/, action: 's3:PutBucketCORS' },
  { header: /^x-(?:remove-)?container-meta-web-/, action: 's3:PutBucketWebsite' },
  { header: /^x-(?:remove-)?container-meta-/, action: 's3:PutBucketTagging' },
] as const

function changeBy(name: string): string | undefined {
  return CHANGES.find(({ header }) => header.test(name))?.action
}
