import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Files of a certificate that signs itself, for localhost and 127.0.0.1, and of its key. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

const REQUEST = 'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost'.split(' ')
const NAMES = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']

/** Makes one in the folder, for two days. Null if openssl is not installed. */
export function makeCertificate(folder: string): Certificate | null {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const files = ['-keyout', key, '-out', cert]
  const { status, error, stderr } = spawnSync('openssl', [...REQUEST, ...NAMES, ...files])
  if (error !== undefined) return null
  if (status !== 0) throw new Error(`openssl: ${stderr}`)
  return { cert, key }
}
