import type { Context, Middleware } from 'koa'
import type { Exchange } from '../exchange.ts'
import { type Reply, statusReply } from '../reply.ts'

/** What koa's middleware pass along: the exchange, and the reply once somebody has one. */
export interface PipelineState {
  exchange: Exchange
  reply?: Reply
}

export type PipelineMiddleware = Middleware<PipelineState>

/** Answers GET and HEAD of one path by `reply`; other verbs by 405. */
export async function serveGet(
  ctx: Context & { state: PipelineState },
  reply: () => Reply | Promise<Reply>,
): Promise<void> {
  const { method } = ctx.state.exchange
  const isRead = method === 'GET' || method === 'HEAD'
  ctx.state.reply = isRead ? await reply() : statusReply(405, ['Allow', 'GET, HEAD'])
}
