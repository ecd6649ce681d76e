import { resolve } from 'node:path'
import { Command } from 'commander'
import { type Credentials, dataPaths, readCredentials } from '../data-folder.ts'
import { DEFAULT_DATA, DEFAULT_HOST } from '../defaults.ts'
import { type Endpoints, endpointsOf, readEndpoints } from '../endpoints.ts'
import { parsePortOffset } from '../option-values.ts'
import { DEFAULT_PORTS } from '../ports.ts'
import { lockHolder } from '../process-lock.ts'

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
          : endpointsOf({
              host: DEFAULT_HOST,
              port: DEFAULT_PORTS.objectStore + portOffset,
              tls: false,
            })
      process.stdout.write(exportLines(credentials, endpoints))
      if (lockHolder(paths.lock) === null) {
        process.stderr.write(`swiftlet: ${paths.folder} is not running now\n`)
      }
    })
}

/** The variables that the swift client and rclone read for v1 sign-in. */
export function exportLines(credentials: Credentials, endpoints: Endpoints): string {
  const variables = {
    ST_AUTH_VERSION: '1',
    ST_AUTH: endpoints.signIn,
    ST_USER: credentials.user,
    ST_KEY: credentials.password,
  }
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${shellQuote(value)}\n`)
    .join('')
}

function shellQuote(text: string): string {
  return /^[\w:/.@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
