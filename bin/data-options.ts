import { resolve } from 'node:path'
import type { Command } from 'commander'
import { dataPaths } from './data-folder.ts'
import { DEFAULT_DATA } from './defaults.ts'
import { StoreClient } from './store-client.ts'

/** Which Swiftlet a command speaks to, and how it prints. */
export interface DataOptions {
  readonly data: string
  readonly json?: boolean
  readonly insecure?: boolean
}

export function withDataOptions(command: Command): Command {
  return command
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .option('--json', 'JSON, one object a line')
    .option('--insecure', 'over HTTPS, take a certificate that this machine does not trust')
}

/** Signed in as the administrator of the Swiftlet that runs on the folder. */
export function openStoreClient({ data, insecure = false }: DataOptions): Promise<StoreClient> {
  return StoreClient.open(dataPaths(resolve(data)), { insecure })
}

/** `/v1/account/container/object`, escaped. */
export function storePath(...parts: readonly string[]): string {
  return `/v1/${parts.map((part) => part.split('/').map(encodeURIComponent).join('/')).join('/')}`
}

/** Rows of a listing, page by page, to its end. */
export async function* listRows<T extends { readonly name: string }>(
  client: StoreClient,
  path: string,
  query: Readonly<Record<string, string>> = {},
): AsyncGenerator<readonly T[]> {
  let marker = query.marker ?? ''
  for (;;) {
    const search = new URLSearchParams({ ...query, format: 'json', marker })
    const page = await client.get<readonly T[]>(`${path}?${search}`)
    if (page.length === 0) return
    yield page
    marker = page.at(-1)!.name
  }
}
