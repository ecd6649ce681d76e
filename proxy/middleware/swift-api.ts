import { handleSwift } from '../swift/dispatch.ts'
import type { PipelineMiddleware } from './state.ts'

/** The innermost layer: every path that is nothing else is an account, a container or an object. */
export function swiftApi(): PipelineMiddleware {
  return async (ctx) => {
    ctx.state.reply = await handleSwift(ctx.state.exchange)
  }
}
