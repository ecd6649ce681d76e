/**
 * What S3 can be asked, as one table: by method, by what it is about, and by the parameter or header that makes it
 * something special. The first row that fits answers; rows without an action answer 501, and a parameter that stands
 * anywhere in the table never falls through to a plain row.
 */
import type { Reply } from '../../reply.ts'
import { abortMultipartUpload } from '../actions/abort-multipart-upload.ts'
import { appendObject } from '../actions/append-object.ts'
import {
  deleteBucketInventory,
  getBucketInventory,
  putBucketInventory,
} from '../actions/bucket-inventory.ts'
import { getBucketLogging, putBucketLogging } from '../actions/bucket-logging.ts'
import {
  deleteBucketNotification,
  getBucketNotification,
  putBucketNotification,
} from '../actions/bucket-notification.ts'
import {
  deleteBucketPolicy,
  getBucketPolicy,
  getBucketPolicyStatus,
  putBucketPolicy,
} from '../actions/bucket-policy.ts'
import {
  deleteBucketReplication,
  getBucketReplication,
  putBucketReplication,
} from '../actions/bucket-replication.ts'
import {
  deleteBucketWebsite,
  getBucketWebsite,
  putBucketWebsite,
} from '../actions/bucket-website.ts'
import { completeMultipartUpload } from '../actions/complete-multipart-upload.ts'
import { copyObject } from '../actions/copy-object.ts'
import { createBucket } from '../actions/create-bucket.ts'
import { createMultipartUpload } from '../actions/create-multipart-upload.ts'
import { createSession } from '../actions/create-session.ts'
import { deleteBucket } from '../actions/delete-bucket.ts'
import { deleteBucketCors } from '../actions/delete-bucket-cors.ts'
import { deleteBucketEncryption } from '../actions/delete-bucket-encryption.ts'
import { deleteBucketLifecycle } from '../actions/delete-bucket-lifecycle.ts'
import { deleteBucketTagging } from '../actions/delete-bucket-tagging.ts'
import { deleteObject } from '../actions/delete-object.ts'
import { deleteObjectTagging } from '../actions/delete-object-tagging.ts'
import { deleteObjects } from '../actions/delete-objects.ts'
import { getBucketAcl } from '../actions/get-bucket-acl.ts'
import { getBucketCors } from '../actions/get-bucket-cors.ts'
import { getBucketEncryption } from '../actions/get-bucket-encryption.ts'
import { getBucketLifecycle } from '../actions/get-bucket-lifecycle.ts'
import { getBucketLocation } from '../actions/get-bucket-location.ts'
import { getBucketTagging } from '../actions/get-bucket-tagging.ts'
import { getBucketVersioning } from '../actions/get-bucket-versioning.ts'
import { getObject } from '../actions/get-object.ts'
import { getObjectAcl } from '../actions/get-object-acl.ts'
import { getObjectAttributes } from '../actions/get-object-attributes.ts'
import { getObjectLegalHold } from '../actions/get-object-legal-hold.ts'
import { getObjectLock } from '../actions/get-object-lock.ts'
import { getObjectRetention } from '../actions/get-object-retention.ts'
import { getObjectTagging } from '../actions/get-object-tagging.ts'
import { headBucket } from '../actions/head-bucket.ts'
import { listBuckets } from '../actions/list-buckets.ts'
import { listMultipartUploads } from '../actions/list-multipart-uploads.ts'
import { listObjectVersions } from '../actions/list-object-versions.ts'
import { listObjects, listObjectsV2 } from '../actions/list-objects.ts'
import { listParts } from '../actions/list-parts.ts'
import {
  deleteOwnershipControls,
  getOwnershipControls,
  putOwnershipControls,
} from '../actions/ownership-controls.ts'
import { postObject } from '../actions/post-object.ts'
import {
  deletePublicAccessBlock,
  getPublicAccessBlock,
  putPublicAccessBlock,
} from '../actions/public-access-block.ts'
import { putBucketAcl } from '../actions/put-bucket-acl.ts'
import { putBucketCors } from '../actions/put-bucket-cors.ts'
import { putBucketEncryption } from '../actions/put-bucket-encryption.ts'
import { putBucketLifecycle } from '../actions/put-bucket-lifecycle.ts'
import { putBucketTagging } from '../actions/put-bucket-tagging.ts'
import { putBucketVersioning } from '../actions/put-bucket-versioning.ts'
import { putObject } from '../actions/put-object.ts'
import { putObjectAcl } from '../actions/put-object-acl.ts'
import { putObjectLegalHold } from '../actions/put-object-legal-hold.ts'
import { putObjectLock } from '../actions/put-object-lock.ts'
import { putObjectRetention } from '../actions/put-object-retention.ts'
import { putObjectTagging } from '../actions/put-object-tagging.ts'
import { renameObject } from '../actions/rename-object.ts'
import { getRequestPayment, putRequestPayment } from '../actions/request-payment.ts'
import { selectObjectContent } from '../actions/select-object-content.ts'
import { uploadPart } from '../actions/upload-part.ts'
import { uploadPartCopy } from '../actions/upload-part-copy.ts'
import { WRITE_OFFSET } from '../object/object-headers.ts'
import type { S3Call } from '../s3-call.ts'

export type S3Action = (call: S3Call) => Promise<Reply>
export type S3Subject = 'service' | 'bucket' | 'object'

export interface S3Route {
  readonly name: string
  readonly on: S3Subject
  readonly method: string
  /** A parameter that must be there; with `=`, with that value. */
  readonly query?: string
  readonly header?: string
  /** Null: not built. */
  readonly action: S3Action | null
}

type Row = readonly [
  name: string,
  on: S3Subject,
  method: string,
  needs: { readonly query?: string; readonly header?: string },
  action: S3Action | null,
]

const ROWS: readonly Row[] = [
  ['ListBuckets', 'service', 'GET', {}, listBuckets],

  ['GetBucketAcl', 'bucket', 'GET', { query: 'acl' }, getBucketAcl],
  ['PutBucketAcl', 'bucket', 'PUT', { query: 'acl' }, putBucketAcl],
  ['GetBucketPolicy', 'bucket', 'GET', { query: 'policy' }, getBucketPolicy],
  ['PutBucketPolicy', 'bucket', 'PUT', { query: 'policy' }, putBucketPolicy],
  ['DeleteBucketPolicy', 'bucket', 'DELETE', { query: 'policy' }, deleteBucketPolicy],
  ['GetBucketPolicyStatus', 'bucket', 'GET', { query: 'policyStatus' }, getBucketPolicyStatus],
  ['GetPublicAccessBlock', 'bucket', 'GET', { query: 'publicAccessBlock' }, getPublicAccessBlock],
  ['PutPublicAccessBlock', 'bucket', 'PUT', { query: 'publicAccessBlock' }, putPublicAccessBlock],
  [
    'DeletePublicAccessBlock',
    'bucket',
    'DELETE',
    { query: 'publicAccessBlock' },
    deletePublicAccessBlock,
  ],
  ['GetOwnershipControls', 'bucket', 'GET', { query: 'ownershipControls' }, getOwnershipControls],
  ['PutOwnershipControls', 'bucket', 'PUT', { query: 'ownershipControls' }, putOwnershipControls],
  [
    'DeleteOwnershipControls',
    'bucket',
    'DELETE',
    { query: 'ownershipControls' },
    deleteOwnershipControls,
  ],
  ['GetBucketCors', 'bucket', 'GET', { query: 'cors' }, getBucketCors],
  ['GetBucketEncryption', 'bucket', 'GET', { query: 'encryption' }, getBucketEncryption],
  ['GetBucketInventoryConfiguration', 'bucket', 'GET', { query: 'inventory' }, getBucketInventory],
  ['PutBucketInventoryConfiguration', 'bucket', 'PUT', { query: 'inventory' }, putBucketInventory],
  [
    'DeleteBucketInventoryConfiguration',
    'bucket',
    'DELETE',
    { query: 'inventory' },
    deleteBucketInventory,
  ],
  ['GetBucketLifecycleConfiguration', 'bucket', 'GET', { query: 'lifecycle' }, getBucketLifecycle],
  ['GetBucketLocation', 'bucket', 'GET', { query: 'location' }, getBucketLocation],
  ['GetBucketLogging', 'bucket', 'GET', { query: 'logging' }, getBucketLogging],
  [
    'GetBucketNotificationConfiguration',
    'bucket',
    'GET',
    { query: 'notification' },
    getBucketNotification,
  ],
  [
    'PutBucketNotificationConfiguration',
    'bucket',
    'PUT',
    { query: 'notification' },
    putBucketNotification,
  ],
  [
    'DeleteBucketNotification',
    'bucket',
    'DELETE',
    { query: 'notification' },
    deleteBucketNotification,
  ],
  ['GetBucketReplication', 'bucket', 'GET', { query: 'replication' }, getBucketReplication],
  ['PutBucketReplication', 'bucket', 'PUT', { query: 'replication' }, putBucketReplication],
  [
    'DeleteBucketReplication',
    'bucket',
    'DELETE',
    { query: 'replication' },
    deleteBucketReplication,
  ],
  ['GetBucketRequestPayment', 'bucket', 'GET', { query: 'requestPayment' }, getRequestPayment],
  ['GetBucketTagging', 'bucket', 'GET', { query: 'tagging' }, getBucketTagging],
  ['GetBucketVersioning', 'bucket', 'GET', { query: 'versioning' }, getBucketVersioning],
  ['PutBucketVersioning', 'bucket', 'PUT', { query: 'versioning' }, putBucketVersioning],
  ['GetBucketWebsite', 'bucket', 'GET', { query: 'website' }, getBucketWebsite],
  ['GetObjectLockConfiguration', 'bucket', 'GET', { query: 'object-lock' }, getObjectLock],
  ['PutObjectLockConfiguration', 'bucket', 'PUT', { query: 'object-lock' }, putObjectLock],
  ['CreateSession', 'bucket', 'GET', { query: 'session' }, createSession],
  ['ListObjectVersions', 'bucket', 'GET', { query: 'versions' }, listObjectVersions],
  ['ListMultipartUploads', 'bucket', 'GET', { query: 'uploads' }, listMultipartUploads],
  ['ListObjectsV2', 'bucket', 'GET', { query: 'list-type=2' }, listObjectsV2],
  ['ListObjects', 'bucket', 'GET', {}, listObjects],
  ['HeadBucket', 'bucket', 'HEAD', {}, headBucket],
  ['PutBucketCors', 'bucket', 'PUT', { query: 'cors' }, putBucketCors],
  ['PutBucketEncryption', 'bucket', 'PUT', { query: 'encryption' }, putBucketEncryption],
  ['PutBucketLifecycleConfiguration', 'bucket', 'PUT', { query: 'lifecycle' }, putBucketLifecycle],
  ['PutBucketLogging', 'bucket', 'PUT', { query: 'logging' }, putBucketLogging],
  ['PutBucketRequestPayment', 'bucket', 'PUT', { query: 'requestPayment' }, putRequestPayment],
  ['PutBucketTagging', 'bucket', 'PUT', { query: 'tagging' }, putBucketTagging],
  ['PutBucketWebsite', 'bucket', 'PUT', { query: 'website' }, putBucketWebsite],
  ['CreateBucket', 'bucket', 'PUT', {}, createBucket],
  ['DeleteBucketCors', 'bucket', 'DELETE', { query: 'cors' }, deleteBucketCors],
  ['DeleteBucketEncryption', 'bucket', 'DELETE', { query: 'encryption' }, deleteBucketEncryption],
  ['DeleteBucketLifecycle', 'bucket', 'DELETE', { query: 'lifecycle' }, deleteBucketLifecycle],
  ['DeleteBucketTagging', 'bucket', 'DELETE', { query: 'tagging' }, deleteBucketTagging],
  ['DeleteBucketWebsite', 'bucket', 'DELETE', { query: 'website' }, deleteBucketWebsite],
  ['DeleteBucket', 'bucket', 'DELETE', {}, deleteBucket],
  ['DeleteObjects', 'bucket', 'POST', { query: 'delete' }, deleteObjects],
  ['PostObject', 'bucket', 'POST', {}, postObject],

  ['ListParts', 'object', 'GET', { query: 'uploadId' }, listParts],
  ['GetObjectAttributes', 'object', 'GET', { query: 'attributes' }, getObjectAttributes],
  ['GetObjectAcl', 'object', 'GET', { query: 'acl' }, getObjectAcl],
  ['PutObjectAcl', 'object', 'PUT', { query: 'acl' }, putObjectAcl],
  ['GetObjectTagging', 'object', 'GET', { query: 'tagging' }, getObjectTagging],
  ['GetObjectRetention', 'object', 'GET', { query: 'retention' }, getObjectRetention],
  ['PutObjectRetention', 'object', 'PUT', { query: 'retention' }, putObjectRetention],
  ['GetObjectLegalHold', 'object', 'GET', { query: 'legal-hold' }, getObjectLegalHold],
  ['PutObjectLegalHold', 'object', 'PUT', { query: 'legal-hold' }, putObjectLegalHold],
  ['GetObject', 'object', 'GET', {}, getObject],
  ['HeadObject', 'object', 'HEAD', {}, getObject],
  [
    'UploadPartCopy',
    'object',
    'PUT',
    { query: 'uploadId', header: 'x-amz-copy-source' },
    uploadPartCopy,
  ],
  ['UploadPart', 'object', 'PUT', { query: 'uploadId' }, uploadPart],
  ['CopyObject', 'object', 'PUT', { header: 'x-amz-copy-source' }, copyObject],
  ['RenameObject', 'object', 'PUT', { query: 'renameObject' }, renameObject],
  ['AppendObject', 'object', 'PUT', { header: WRITE_OFFSET }, appendObject],
  ['PutObjectTagging', 'object', 'PUT', { query: 'tagging' }, putObjectTagging],
  ['PutObject', 'object', 'PUT', {}, putObject],
  ['AbortMultipartUpload', 'object', 'DELETE', { query: 'uploadId' }, abortMultipartUpload],
  ['DeleteObjectTagging', 'object', 'DELETE', { query: 'tagging' }, deleteObjectTagging],
  ['DeleteObject', 'object', 'DELETE', {}, deleteObject],
  ['CreateMultipartUpload', 'object', 'POST', { query: 'uploads' }, createMultipartUpload],
  ['SelectObjectContent', 'object', 'POST', { query: 'select' }, selectObjectContent],
  ['CompleteMultipartUpload', 'object', 'POST', { query: 'uploadId' }, completeMultipartUpload],
]

/** Parameters of buckets and objects whose actions are not built, whatever the method. */
const NOT_BUILT: Readonly<Record<'bucket' | 'object', readonly string[]>> = {
  bucket: [
    'abac',
    'accelerate',
    'acl',
    'analytics',
    'cors',
    'encryption',
    'intelligent-tiering',
    'lifecycle',
    'logging',
    'metadataConfiguration',
    'metadataTable',
    'metrics',
    'notification',
    'object-lock',
    'ownershipControls',
    'policy',
    'policyStatus',
    'publicAccessBlock',
    'replication',
    'requestPayment',
    'tagging',
    'versioning',
    'website',
  ],
  object: [
    'acl',
    'annotation',
    'annotations',
    'append',
    'encryption',
    'legal-hold',
    'restore',
    'retention',
    'tagging',
    'torrent',
  ],
}

export const S3_ROUTES: readonly S3Route[] = ROWS.map(([name, on, method, needs, action]) => ({
  name,
  on,
  method,
  ...needs,
  action,
}))

/** All parameters that make a request something special, by what it is about. */
export const SUBRESOURCES: Readonly<Record<S3Subject, ReadonlySet<string>>> = {
  service: new Set(),
  bucket: new Set([...NOT_BUILT.bucket, ...queriesOf('bucket')]),
  object: new Set([...NOT_BUILT.object, ...queriesOf('object')]),
}

const byLine = new Map<string, S3Route[]>()
for (const route of S3_ROUTES) {
  const line = `${route.on} ${route.method}`
  byLine.set(line, [...(byLine.get(line) ?? []), route])
}

/** Rows of a method, in their order. */
export function routesOf(on: S3Subject, method: string): readonly S3Route[] {
  return byLine.get(`${on} ${method}`) ?? []
}

function queriesOf(on: S3Subject): string[] {
  return ROWS.filter((row) => row[1] === on).flatMap(([, , , { query }]) =>
    query === undefined || query.includes('=') ? [] : [query],
  )
}
