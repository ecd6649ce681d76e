import type { Permission } from './s3-acl.ts'

/** What a list has to grant for an action of the S3 API: the bucket's, or the object's own. */
export interface ListedRight {
  readonly of: 'bucket' | 'object'
  readonly permission: Permission
}

/**
 * Actions that lists can grant; all others take a policy, or the owner. Source: docs.aws.amazon.com/AmazonS3/latest/userguide,
 * "Access control list (ACL) overview", mapping of ACL permissions.
 */
const RIGHTS: Readonly<Record<string, ListedRight>> = {
  's3:ListBucket': { of: 'bucket', permission: 'READ' },
  's3:ListBucketVersions': { of: 'bucket', permission: 'READ' },
  's3:ListBucketMultipartUploads': { of: 'bucket', permission: 'READ' },
  's3:PutObject': { of: 'bucket', permission: 'WRITE' },
  's3:DeleteObject': { of: 'bucket', permission: 'WRITE' },
  's3:AbortMultipartUpload': { of: 'bucket', permission: 'WRITE' },
  's3:ListMultipartUploadParts': { of: 'bucket', permission: 'WRITE' },
  's3:GetBucketAcl': { of: 'bucket', permission: 'READ_ACP' },
  's3:PutBucketAcl': { of: 'bucket', permission: 'WRITE_ACP' },
  's3:GetObject': { of: 'object', permission: 'READ' },
  's3:GetObjectVersion': { of: 'object', permission: 'READ' },
  's3:GetObjectAttributes': { of: 'object', permission: 'READ' },
  's3:GetObjectVersionAttributes': { of: 'object', permission: 'READ' },
  's3:GetObjectAcl': { of: 'object', permission: 'READ_ACP' },
  's3:GetObjectVersionAcl': { of: 'object', permission: 'READ_ACP' },
  's3:PutObjectAcl': { of: 'object', permission: 'WRITE_ACP' },
  's3:PutObjectVersionAcl': { of: 'object', permission: 'WRITE_ACP' },
}

export function listedRight(action: string): ListedRight | undefined {
  return Object.hasOwn(RIGHTS, action) ? RIGHTS[action] : undefined
}

/** Actions on what lies there already: what an object is like (its list, its tags) counts for them. */
const ON_OBJECTS = [
  's3:GetObjectTagging',
  's3:GetObjectVersionTagging',
  's3:PutObjectTagging',
  's3:PutObjectVersionTagging',
  's3:DeleteObjectTagging',
  's3:DeleteObjectVersionTagging',
]

/** Whether the object itself has to be looked at before it can be said who may. */
export function isOnObject(action: string): boolean {
  return listedRight(action)?.of === 'object' || ON_OBJECTS.includes(action)
}

/** The action on a version by its id, which has a name of its own. */
export function versionAction(action: string, version: string | undefined): string {
  if (version === undefined) return action
  return Object.hasOwn(VERSION_ACTIONS, action) ? VERSION_ACTIONS[action]! : action
}

const VERSION_ACTIONS: Readonly<Record<string, string>> = {
  's3:GetObject': 's3:GetObjectVersion',
  's3:GetObjectAttributes': 's3:GetObjectVersionAttributes',
  's3:GetObjectAcl': 's3:GetObjectVersionAcl',
  's3:PutObjectAcl': 's3:PutObjectVersionAcl',
  's3:GetObjectTagging': 's3:GetObjectVersionTagging',
  's3:PutObjectTagging': 's3:PutObjectVersionTagging',
  's3:DeleteObjectTagging': 's3:DeleteObjectVersionTagging',
  's3:DeleteObject': 's3:DeleteObjectVersion',
}
