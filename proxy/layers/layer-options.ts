import type { BulkOptions } from './bulk/bulk.ts'
import type { FormPostOptions } from './form-post.ts'
import type { StaticWebOptions } from './static-web.ts'
import type { TempUrlOptions } from './temp-url.ts'

/**
 * Which features stand around the handlers, and how they are set: what a Swift operator writes as filters of the pipeline.
 * False switches off what is on by default.
 */
export interface LayerOptions {
  readonly bulk?: BulkOptions | false
  readonly tempurl?: TempUrlOptions | false
  readonly formpost?: FormPostOptions | false
  readonly staticweb?: StaticWebOptions | false
}
