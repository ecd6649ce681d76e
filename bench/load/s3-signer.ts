import { createHash, createHmac } from 'node:crypto'

/** Who signs requests of S3, by Version 4 in headers, as most clients do. */
export interface S3Signing {
  readonly accessKey: string
  readonly secretKey: string
  readonly region: string
}

/** A request as it is signed; its path needs no escaping, and it has no query. */
export interface RequestToSign {
  readonly method: string
  readonly path: string
  readonly host: string
  /** In hex, of the body. */
  readonly bodyHash: string
}

/** Returns what signs requests: all headers that a signed request needs besides its length, as they go over the wire. */
export function s3Signer(signing: S3Signing): (request: RequestToSign) => string {
  let day = ''
  let key: Buffer = Buffer.alloc(0)
  return ({ method, path, host, bodyHash }) => {
    const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
    const scope = `${timestamp.slice(0, 8)}/${signing.region}/s3/aws4_request`
    if (timestamp.slice(0, 8) !== day) {
      day = timestamp.slice(0, 8)
      key = scope.split('/').reduce<Buffer>(hmac, Buffer.from(`AWS4${signing.secretKey}`))
    }
    const signed = `host:${host}\nx-amz-content-sha256:${bodyHash}\nx-amz-date:${timestamp}\n`
    const names = 'host;x-amz-content-sha256;x-amz-date'
    const canonical = `${method}\n${path}\n\n${signed}\n${names}\n${bodyHash}`
    const text = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`
    const signature = hmac(key, text).toString('hex')
    const credential = `Credential=${signing.accessKey}/${scope}`
    const authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names}, Signature=${signature}`
    return `host: ${host}\r\nx-amz-content-sha256: ${bodyHash}\r\nx-amz-date: ${timestamp}\r\nauthorization: ${authorization}\r\n`
  }
}

/** In hex. */
export function sha256(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
