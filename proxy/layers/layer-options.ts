import type { FormPostOptions } from './form-post.ts'
import type { StaticWebOptions } from './static-web.ts'
import type { TempUrlOptions } from './temp-url.ts'

/**
 * Which features stand around the handlers, and how they are set: what a Swift operator writes as filters of the pipeline.
 * False switches off what is on by default.
 */
export interface LayerOptions {
  readonly tempurl?: TempUrlOptions | false
  readonly formpost?: FormPostOptions | false
  readonly staticweb?: StaticWebOptions | false
}
