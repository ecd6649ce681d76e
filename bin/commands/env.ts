import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { readTextFile } from '../../common/whole-file.ts'
import { S3_DEFAULTS } from '../../proxy/s3/s3-options.ts'
import { type AccessKey, accessKeyOf } from '../access-key.ts'
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
      const isRunning = lockHolder(paths.lock) !== null
      const regions = await regionsOf(paths)
      const { clouds } = paths
      const s3 = isRunning ? await s3KeyOf(endpoints, credentials) : undefined
      const place = { ...endpoints, ...regions, clouds, ...(s3 && { s3 }) }
      process.stdout.write(exportLines(credentials, place))
      if (!isRunning) process.stderr.write(`swiftlet: ${paths.folder} is not running now\n`)
    })
}

function endpointsAt(portOffset: number, hasIdentity: boolean): Endpoints {
  const at = (port: number) => ({ host: DEFAULT_HOST, port: port + portOffset, tls: false })
  return {
    ...endpointsOf(at(DEFAULT_PORTS.objectStore)),
    ...(hasIdentity && { identity: urlOf(at(DEFAULT_PORTS.identity)) }),
  }
}

/** Only who runs has keys for S3; without them all else is printed. */
async function s3KeyOf(
  { identity }: Endpoints,
  credentials: Credentials,
): Promise<AccessKey | undefined> {
  if (identity === undefined) return undefined
  try {
    return await accessKeyOf(identity, credentials)
  } catch (error) {
    process.stderr.write(`swiftlet: no keys for S3: ${(error as Error).message}\n`)
    return undefined
  }
}

interface Regions {
  /** Identity's. */
  readonly region: string
  readonly s3Region: string
}

async function regionsOf(paths: DataPaths): Promise<Regions> {
  const text = await readTextFile(paths.settings)
  const { identity, s3 } = text === null ? {} : decodeSettings(text, paths.settings)
  return {
    region: identity?.region ?? DEFAULT_REGION,
    s3Region: s3?.region ?? S3_DEFAULTS.region,
  }
}

/**
 * The variables that the swift client and rclone read for v1 sign-in; where there is an identity service, those that OpenStack's
 * clients read, and with keys for S3 those of AWS's clients.
 */
export function exportLines(
  credentials: Credentials,
  place: Endpoints & Regions & { readonly clouds: string; readonly s3?: AccessKey },
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
    ...(place.s3 !== undefined && {
      AWS_ENDPOINT_URL: place.objectStore,
      AWS_ACCESS_KEY_ID: place.s3.access,
      AWS_SECRET_ACCESS_KEY: place.s3.secret,
      AWS_REGION: place.s3Region,
      AWS_DEFAULT_REGION: place.s3Region,
    }),
  }
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${shellQuote(value)}\n`)
    .join('')
}

function shellQuote(text: string): string {
  return /^[\w:/.@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
