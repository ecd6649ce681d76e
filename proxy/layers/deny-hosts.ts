import { refusal } from '../exchange.ts'
import type { Layer } from './layer.ts'

export interface DenyHostsOptions {
  /** Values of the Host header, with their port. */
  readonly hosts: readonly string[]
}

/** Swift's deny_host_headers: no answer but a 403 by these names. */
export function denyHostsLayer({ hosts }: DenyHostsOptions): Layer {
  const denied = new Set(hosts)
  return {
    name: 'denyHosts',
    concerns: ({ headers }) => denied.has(headers.host ?? ''),
    answer() {
      throw refusal(403, 'Invalid host header')
    },
  }
}
