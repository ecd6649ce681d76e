import { freemem, loadavg, totalmem } from 'node:os'
import type { ProxyContext } from '../proxy-context.ts'
import { jsonReply, statusReply } from '../reply.ts'
import { type PipelineMiddleware, serveGet } from './state.ts'

/** `/recon/{kind}`: what an operator's scripts ask a proxy. */
export function recon(proxy: ProxyContext): PipelineMiddleware {
  const reports: Readonly<Record<string, () => unknown>> = {
    version: () => ({ version: proxy.settings.version }),
    time: () => proxy.clock.nowMs() / 1000,
    load: () => {
      const [m1, m5, m15] = loadavg()
      return { '1m': m1, '5m': m5, '15m': m15 }
    },
    mem: () => ({
      totalBytes: totalmem(),
      freeBytes: freemem(),
      processBytes: process.memoryUsage.rss(),
      uploadBuffers: proxy.buffers.out,
    }),
    requests: () => ({ inFlight: proxy.requestMetrics.inFlight }),
  }
  return (ctx) => {
    const kind = ctx.path.slice('/recon/'.length)
    const report = Object.hasOwn(reports, kind) ? reports[kind] : undefined
    return serveGet(ctx, () => (report === undefined ? statusReply(404) : jsonReply(200, report())))
  }
}
