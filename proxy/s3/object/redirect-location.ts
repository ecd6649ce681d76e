/** Where the web site of a bucket sends those who ask for the object. */
import type { ItemInfo } from '../../../common/storage-node.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

export const WEBSITE_REDIRECT = 'x-amz-website-redirect-location'
const STORED = 'x-object-sysmeta-s3-redirect'
const CHARS_MAX = 2048

/** As the request says it, for the object's metadata: a path within the site, or a URL of another. */
export function redirectOfRequest(call: S3Call): Readonly<Record<string, string>> {
  const location = call.header(WEBSITE_REDIRECT)
  if (location === undefined || location === '') return {}
  const isGood = /^(?:\/|https?:\/\/)[\x21-\x7e]*$/.test(location) && location.length <= CHARS_MAX
  if (isGood) return { [STORED]: location }
  throw new S3Error('InvalidRedirectLocation', undefined, {
    ArgumentName: WEBSITE_REDIRECT,
    ArgumentValue: location.slice(0, 256),
  })
}

export function redirectLocation({ meta }: ItemInfo): string | undefined {
  return meta.headers[STORED]
}
