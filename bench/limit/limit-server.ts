/**
 * The limit program: what bare node:http and group-committed logs allow, as the yardstick of the store. A PUT reads
 * its body, appends it to each log (one writev and one fdatasync for all that wait, a majority of the logs has to say
 * yes) and answers 201; a GET answers a body of the wanted length from memory. No names, checksums, sign-in or index.
 *
 * Arguments: PORT PROCESSES LOGS FOLDER…; as many processes share the port, and LOGS logs in each folder are shared out
 * among them. Prints `ready`. The path of a GET begins with the length of the wanted body.
 */
import cluster from 'node:cluster'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { GroupLog } from './group-log.ts'

/** A longer body is appended in pieces of this size as it comes. */
const COLLECT_BYTES_MAX = 1024 * 1024

const [port, processes, logCount, ...folders] = process.argv.slice(2)
const ownLogCount = Math.max(1, Math.floor(Number(logCount) / Number(processes)))
/** Of each log of this process one in every folder. */
const logs = Array.from({ length: ownLogCount }, (_, index) =>
  folders.map((folder) => new GroupLog(folder, `${process.pid}-${index}`)),
)
const majority = Math.floor(folders.length / 2) + 1
const bodies = new Map<string, Buffer>()
let nextLog = 0

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

/** Appends to the next log in every folder; done when a majority is. */
function append(pieces: readonly Uint8Array[], done: (error: Error | null) => void): void {
  let [yes, no] = [0, 0]
  nextLog = (nextLog + 1) % logs.length
  for (const log of logs[nextLog]!) {
    log.append(pieces, (error) => {
      if (error) no++
      else yes++
      if (!error && yes === majority) done(null)
      if (error && no === folders.length - majority + 1) done(error)
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

async function serve(): Promise<void> {
  await Promise.all(logs.flat().map((log) => log.start()))
  const server = createServer((request, response) => {
    if (request.method === 'PUT') put(request, response)
    else get(request, response)
  })
  server.requestTimeout = 0
  server.listen(Number(port), '127.0.0.1')
}

function supervise(): void {
  const count = Number(processes)
  let listening = 0
  cluster.on('listening', () => {
    listening++
    if (listening === count) console.log('ready')
  })
  for (let index = 0; index < count; index++) cluster.fork()
}

if (cluster.isPrimary) supervise()
else await serve()
process.on('SIGTERM', () => process.exit(0))
