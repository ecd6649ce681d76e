import { readFile } from 'node:fs/promises'
import { freemem, loadavg, totalmem } from 'node:os'
import { systemErrorCode } from '../../common/errors.ts'
import type { ProxyContext } from '../proxy-context.ts'
import { jsonReply, type Reply, statusReply, textReply } from '../reply.ts'
import { parseLoad, parseMemory, parseMounts, parseSockets } from '../status/proc-files.ts'
import { RECON_REPORTS } from '../status/recon-reports.ts'
import { type PipelineMiddleware, serveGet } from './state.ts'
import { refusalOfStranger } from './status.ts'

/** What everybody may ask of the machine. */
function machineReports(proxy: ProxyContext): Readonly<Record<string, () => unknown>> {
  return {
    version: () => ({ version: proxy.settings.version }),
    time: () => proxy.clock.nowMs() / 1000,
    load: async () => {
      const [m1, m5, m15] = loadavg()
      const more = parseLoad(await readProc('loadavg'))
      return { '1m': m1, '5m': m5, '15m': m15, ...more }
    },
    mem: async () => ({
      ...parseMemory(await readProc('meminfo')),
      totalBytes: totalmem(),
      freeBytes: freemem(),
      processBytes: process.memoryUsage.rss(),
      uploadBuffers: proxy.buffers.out,
    }),
    requests: () => ({ inFlight: proxy.requestMetrics.inFlight }),
  }
}

/** What only operators may: it says what this machine is made of. */
const INSIDE_REPORTS: Readonly<Record<string, () => Promise<unknown>>> = {
  mounted: async () => parseMounts(await readProc('mounts')),
  sockstat: async () =>
    parseSockets(await readProc('net/sockstat'), await readProc('net/sockstat6')),
}

/**
 * `/recon/KIND`: what an operator's scripts ask a server. Swift's proxies tell it to everybody; here what says anything of
 * devices is for who may see `/status`. Of devices a proxy tells about the whole cluster.
 */
export function recon(proxy: ProxyContext): PipelineMiddleware {
  const machine = machineReports(proxy)
  return (ctx) =>
    serveGet(ctx, async () => {
      const kind = ctx.path.slice('/recon/'.length)
      if (Object.hasOwn(machine, kind)) return jsonReply(200, await machine[kind]!())
      const isInside = Object.hasOwn(INSIDE_REPORTS, kind)
      const isOfCluster = Object.hasOwn(RECON_REPORTS, kind) && proxy.settings.recon !== undefined
      if (!isInside && !isOfCluster) return textReply(404, `Invalid path: ${ctx.path}`)
      const refused = await refusalOfStranger(ctx.state.exchange, 'recon')
      if (refused !== null) return refused
      return isInside ? jsonReply(200, await INSIDE_REPORTS[kind]!()) : clusterReport(proxy, kind)
    })
}

async function clusterReport({ settings }: ProxyContext, kind: string): Promise<Reply> {
  const { readStatus, recon } = settings
  if (readStatus === undefined || recon === undefined) return statusReply(404)
  const { rings, activity, hashing } = recon
  const facts = { status: await readStatus(), rings: rings(), activity: activity(), hashing }
  return jsonReply(200, RECON_REPORTS[kind]!(facts))
}

/** Empty where the system has no such file. */
async function readProc(name: string): Promise<string> {
  try {
    return await readFile(`/proc/${name}`, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return ''
    throw error
  }
}
