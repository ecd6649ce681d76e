import type { Reply } from '../../reply.ts'
import { receiveDocument } from '../body/s3-body.ts'
import { enterObject } from '../bucket/find-bucket.ts'
import { versionHeaders, versionIdOf } from '../object/version-id.ts'
import { changeTags } from '../replication/change-tags.ts'
import type { S3Call } from '../s3-call.ts'
import { emptyReply } from '../s3-reply.ts'
import { encodeTags, OBJECT_TAGS_MAX, readTagSet, S3_TAGGING } from '../tagging/tag-set.ts'
import { parseXml } from '../xml/xml-in.ts'

/** Ten of the longest tags, each character escaped. */
const DOCUMENT_BYTES_MAX = 256 * 1024

/** Replaces all tags of the object. */
export async function putObjectTagging(call: S3Call): Promise<Reply> {
  const place = await enterObject(call, {
    action: 's3:PutObjectTagging',
    acl: 'write',
    method: 'POST',
  })
  const version = versionIdOf(call, place)
  const document = parseXml(await receiveDocument(call, DOCUMENT_BYTES_MAX), 'Tagging')
  const tags = readTagSet(document, OBJECT_TAGS_MAX)
  call.givenTags = tags
  const found = await changeTags(call, place, { version, kind: 'ObjectTagging:Put' }, () => ({
    [S3_TAGGING]: encodeTags(tags),
  }))
  return emptyReply(200, versionHeaders(place, found))
}
