import { statusReply } from '../reply.ts'
import type { PipelineMiddleware } from './state.ts'

/** What Flash clients of other sites may do: lines of a cross-domain policy. */
export interface CrossdomainOptions {
  readonly policy?: string
}

const ANYBODY = '<allow-access-from domain="*" secure="false" />'

/** `/crossdomain.xml`, as Adobe's clients ask for it. */
export function crossdomain({ policy = ANYBODY }: CrossdomainOptions): PipelineMiddleware {
  const body = `<?xml version="1.0"?>
<!DOCTYPE cross-domain-policy SYSTEM "http://www.adobe.com/xml/dtds/cross-domain-policy.dtd" >
<cross-domain-policy>
${policy}
</cross-domain-policy>`
  return async (ctx) => {
    const isGet = ctx.state.exchange.method === 'GET'
    ctx.state.reply = isGet
      ? { status: 200, headers: ['Content-Type', 'application/xml; charset=UTF-8'], body }
      : statusReply(405, ['Allow', 'GET'])
  }
}
