/** Receives events by HTTP, as long as it is told to. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface EventRecord {
  readonly eventName: string
  readonly eventVersion: string
  readonly eventTime: string
  readonly awsRegion: string
  readonly opaqueData: string
  readonly userIdentity: { readonly principalId: string }
  readonly requestParameters: { readonly sourceIPAddress: string }
  readonly s3: {
    readonly configurationId: string
    readonly bucket: { readonly name: string; readonly arn: string }
    readonly object: {
      readonly key: string
      readonly size?: number
      readonly eTag?: string
      readonly versionId?: string
      readonly sequencer: string
    }
  }
}

export interface EventReceiver {
  /** `127.0.0.1:…` */
  readonly host: string
  readonly port: number
  /** What was taken, in the order it came. */
  readonly records: readonly EventRecord[]
  /** Of all requests, those that were refused included. */
  readonly requests: readonly { readonly url: string; readonly headers: IncomingHttpHeaders }[]
  /** What it answers from now on. */
  answer: number
  close(): void
}

export async function startEventReceiver(port = 0): Promise<EventReceiver> {
  const records: EventRecord[] = []
  const requests: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = []
  const server = createServer((req, res) => {
    const pieces: Buffer[] = []
    req.on('data', (piece: Buffer) => pieces.push(piece))
    req.on('end', () => {
      requests.push({ url: req.url ?? '', headers: req.headers })
      const isTaken = receiver.answer < 300
      const body = Buffer.concat(pieces).toString()
      if (isTaken) records.push(...(JSON.parse(body) as { Records: EventRecord[] }).Records)
      res.writeHead(receiver.answer, { location: '/elsewhere' }).end()
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const { port: taken } = server.address() as AddressInfo
  const receiver: EventReceiver = {
    host: `127.0.0.1:${taken}`,
    port: taken,
    records,
    requests,
    answer: 200,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
  return receiver
}
