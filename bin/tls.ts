import { readFileSync } from 'node:fs'
import { ServiceError } from '../common/errors.ts'

/** Certificate chain and private key, PEM. */
export interface Tls {
  readonly cert: Buffer
  readonly key: Buffer
}

/** Reads both files; undefined if neither is named. */
export function readTls(files: {
  readonly tlsCert?: string
  readonly tlsKey?: string
}): Tls | undefined {
  const { tlsCert, tlsKey } = files
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new ServiceError('BadTls', 'a TLS certificate and its key go together', { status: 400 })
  }
  return { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) }
}
