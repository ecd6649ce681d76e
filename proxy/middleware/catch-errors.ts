import { systemErrorCode } from '../../common/errors.ts'
import { answer } from '../answer.ts'
import { badRequest } from '../exchange.ts'
import { statusReply } from '../reply.ts'
import type { PipelineMiddleware } from './state.ts'

/**
 * The outermost layer: whatever comes back from the inner ones, or is thrown by them, becomes an answer with a
 * transaction id, an access log line and a count. koa itself writes nothing.
 */
export function catchErrors(): PipelineMiddleware {
  return async (ctx, next) => {
    ctx.respond = false
    await answer(ctx.state.exchange, async () => {
      try {
        await next()
      } catch (error) {
        // A target such as `http://[`: koa's router cannot take it apart.
        if (systemErrorCode(error) === 'ERR_INVALID_URL') throw badRequest('Bad URL')
        throw error
      }
      return ctx.state.reply ?? statusReply(404)
    })
  }
}
