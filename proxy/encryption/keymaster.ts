import type { RootSecrets } from './root-secrets.ts'

/**
 * Who keeps the root secrets: Swift's keymaster. Asked once, before anybody is served; what it gives is kept in memory. A key
 * file is the one there is (bin/key-file.ts); one that asks a server (KMIP, Barbican) is another implementation of this.
 */
export interface Keymaster {
  /** All secrets that data may be under, and which is for new data. Rejects with a sentence for who starts the proxy. */
  rootSecrets(): Promise<RootSecrets>
}
