import { setTimeout as sleep } from 'node:timers/promises'
import { writeClouds } from '../clouds-file.ts'
import { type DataPaths, readCredentials } from '../data-folder.ts'
import { checkPortFree } from '../ports.ts'
import type { Settings } from '../settings.ts'
import type { UpContext } from '../up.ts'
import {
  accessElsewhere,
  DEFAULT_REGION,
  type OwnIdentity,
  ownAccess,
  ownConfig,
  ownUrl,
} from './identity-access.ts'
import { IdentityChild, type IdentityChildOptions } from './identity-child.ts'
import type { IdentityAccess } from './open-identity.ts'

/** The identity of `swiftlet up`: a service of its own, or one elsewhere. */
export interface UpIdentity {
  readonly access: IdentityAccess
  /** Where clients reach it, without `/v3`. */
  readonly url: string
  /** Rejects if it did not start. */
  readonly started: Promise<void>
  close(): Promise<void>
}

const PORT_TRIES = 100
const PORT_TRY_MS = 50

/**
 * Throws `PortTaken` unless the port is free. A service whose store was killed needs a moment to notice: that is waited
 * for.
 */
export async function checkIdentityPort(host: string, port: number): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await checkPortFree(host, port)
    } catch (error) {
      if (tries === PORT_TRIES) throw error
      await sleep(PORT_TRY_MS)
    }
  }
}

/** Begins to start it; what needs it waits for `started`. */
export function startUpIdentity(
  own: OwnIdentity,
  { settings, paths }: { readonly settings: Settings; readonly paths: DataPaths },
  options: Omit<IdentityChildOptions, 'config'> & { readonly context: UpContext },
): UpIdentity {
  const elsewhere = accessElsewhere(settings, paths)
  if (elsewhere !== null) {
    const started = Promise.resolve()
    return { access: elsewhere, url: elsewhere.publicUrl, started, close: () => started }
  }
  const config = ownConfig(own, settings, paths)
  const { context, ...childOptions } = options
  const child = IdentityChild.start({ config, ...childOptions }, context)
  const started = child.then(() => {})
  // Whoever waits for it is told; while nobody does, it is not a failure that nobody has seen.
  started.catch(() => {})
  const access = ownAccess(own, settings, paths)
  return {
    access,
    url: settings.identity?.publicUrl ?? ownUrl(own),
    started,
    close: () => child.then((running) => running.close()).catch(() => {}),
  }
}

/** Writes clouds.yaml anew: the password, or where it listens, may be another one. */
export async function noteCloud(
  paths: DataPaths,
  settings: Settings,
  options: { readonly identityUrl: string; readonly certificateFile?: string | undefined },
): Promise<void> {
  const { identityUrl, certificateFile } = options
  await writeClouds(paths.clouds, {
    credentials: await readCredentials(paths),
    identityUrl,
    region: settings.identity?.region ?? DEFAULT_REGION,
    ...(certificateFile !== undefined && { certificateFile }),
  })
}
