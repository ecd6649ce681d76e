/**
 * The limit program: what bare node:http and group-committed logs allow, as the yardstick of the store. A PUT reads
 * its body, appends it to each log (one writev and one fdatasync for all that wait, a majority of the logs has to say
 * yes) and answers 201; a GET answers a body of the wanted length from memory. No names, checksums, sign-in or index.
 *
 * Arguments: PORT LOG-FOLDER…; prints `ready`. GET /…?bytes=N is not parsed: the length is the first path segment.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { GroupLog } from './group-log.ts'

/** A longer body is appended in pieces of this size as it comes. */
const COLLECT_BYTES_MAX = 1024 * 1024

const [port, ...folders] = process.argv.slice(2)
const logs = folders.map((folder) => new GroupLog(folder))
const majority = Math.floor(logs.length / 2) + 1
const bodies = new Map<string, Buffer>()

function put(request: IncomingMessage, response: ServerResponse): void {
  let pieces: Buffer[] = []
  let bytes = 0
  let pending = 1
  let failed = false
  const settle = (error: Error | null): void => {
    failed ||= error !== null
    pending--
    if (pending > 0) return
    response.writeHead(failed ? 500 : 201, ['Content-Length', '0'])
    response.end()
  }
  const flush = (): void => {
    pending++
    append(pieces, settle)
    pieces = []
    bytes = 0
  }
  request.on('data', (piece: Buffer) => {
    pieces.push(piece)
    bytes += piece.length
    if (bytes >= COLLECT_BYTES_MAX) flush()
  })
  request.on('end', () => {
    if (bytes > 0) flush()
    settle(null)
  })
}

/** Appends to all logs; done when a majority is. */
function append(pieces: readonly Uint8Array[], done: (error: Error | null) => void): void {
  let [yes, no] = [0, 0]
  for (const log of logs) {
    log.append(pieces, (error) => {
      if (error) no++
      else yes++
      if (!error && yes === majority) done(null)
      if (error && no === logs.length - majority + 1) done(error)
    })
  }
}

function get(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url!
  const size = path.slice(1, path.indexOf('/', 1))
  let body = bodies.get(size)
  if (!body) {
    body = Buffer.alloc(Number(size), 'x')
    bodies.set(size, body)
  }
  response.writeHead(200, ['Content-Length', size, 'Content-Type', 'application/octet-stream'])
  response.end(body)
}

const server = createServer((request, response) => {
  if (request.method === 'PUT') put(request, response)
  else get(request, response)
})
server.requestTimeout = 0
await Promise.all(logs.map((log) => log.start()))
server.listen(Number(port), '127.0.0.1', () => console.log('ready'))
process.on('SIGTERM', () => process.exit(0))
