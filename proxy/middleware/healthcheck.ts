import { access } from 'node:fs/promises'
import { textReply } from '../reply.ts'
import { type PipelineMiddleware, serveGet } from './state.ts'

/** `OK` for load balancers; 503 while the disable file is there, so that they turn away before a shutdown. */
export function healthcheck(disableFile: string | undefined): PipelineMiddleware {
  return (ctx) =>
    serveGet(ctx, async () =>
      disableFile !== undefined && (await exists(disableFile))
        ? textReply(503, 'DISABLED BY FILE')
        : textReply(200, 'OK'),
    )
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file)
    return true
  } catch {
    return false
  }
}
