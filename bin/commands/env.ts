import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { readTextFile } from '../../common/whole-file.ts'
import type { Credentials } from '../credentials.ts'
import { type DataPaths, dataPaths, readCredentials } from '../data-folder.ts'
import { DEFAULT_DATA, DEFAULT_HOST } from '../defaults.ts'
import { type Endpoints, endpointsOf, readEndpoints, urlOf } from '../endpoints.ts'
import { DEFAULT_REGION } from '../identity/identity-access.ts'
import { parsePortOffset } from '../option-values.ts'
import { DEFAULT_PORTS } from '../ports.ts'
import { lockHolder } from '../process-lock.ts'
import { decodeSettings } from '../settings.ts'

interface EnvOptions {
  readonly data: string
  readonly portOffset?: number
}

export function envCommand(): Command {
  return new Command('env')
    .description('print the shell lines that point clients here: eval "$(npx swiftlet env)"')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .option(
      '--port-offset <n>',
      'as given to up; without it, where it listened last',
      parsePortOffset,
    )
    .action(async ({ data, portOffset }: EnvOptions) => {
      const paths = dataPaths(resolve(data))
      const credentials = await readCredentials(paths)
      const endpoints =
        portOffset === undefined
          ? await readEndpoints(paths.endpoints)
          : endpointsAt(portOffset, existsSync(paths.identity))
      const region = await regionOf(paths)
      const { clouds } = paths
      process.stdout.write(exportLines(credentials, { ...endpoints, region, clouds }))
      if (lockHolder(paths.lock) === null) {
        process.stderr.write(`swiftlet: ${paths.folder} is not running now\n`)
      }
    })
}

function endpointsAt(portOffset: number, hasIdentity: boolean): Endpoints {
  const at = (port: number) => ({ host: DEFAULT_HOST, port: port + portOffset, tls: false })
  return {
    ...endpointsOf(at(DEFAULT_PORTS.objectStore)),
    ...(hasIdentity && { identity: urlOf(at(DEFAULT_PORTS.identity)) }),
  }
}

async function regionOf(paths: DataPaths): Promise<string> {
  const text = await readTextFile(paths.settings)
  return text === null
    ? DEFAULT_REGION
    : (decodeSettings(text, paths.settings).identity?.region ?? DEFAULT_REGION)
}

/**
 * The variables that the swift client and rclone read for v1 sign-in, and those that OpenStack's clients read, where there
 * is an identity service.
 */
export function exportLines(
  credentials: Credentials,
  place: Endpoints & { readonly region: string; readonly clouds: string },
): string {
  const [project, user] = credentials.user.split(':') as [string, string]
  const variables = {
    ST_AUTH_VERSION: '1',
    ST_AUTH: place.signIn,
    ST_USER: credentials.user,
    ST_KEY: credentials.password,
    ...(place.identity !== undefined && {
      OS_AUTH_URL: `${place.identity}/v3`,
      OS_IDENTITY_API_VERSION: '3',
      OS_USERNAME: user,
      OS_PASSWORD: credentials.password,
      OS_PROJECT_NAME: project,
      OS_USER_DOMAIN_NAME: 'Default',
      OS_PROJECT_DOMAIN_NAME: 'Default',
      OS_REGION_NAME: place.region,
      OS_CLIENT_CONFIG_FILE: place.clouds,
    }),
  }
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${shellQuote(value)}\n`)
    .join('')
}

function shellQuote(text: string): string {
  return /^[\w:/.@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
