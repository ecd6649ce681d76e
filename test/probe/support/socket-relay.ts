/**
 * Carries connections from a Unix socket, which every process of the machine can reach, to a port of the network
 * namespace that it runs in: socket-relay.ts SOCKET HOST PORT.
 */
import { connect, createServer, type Socket } from 'node:net'

const [path, host, port] = process.argv.slice(2)

createServer({ allowHalfOpen: true }, (client) => {
  const server = connect({ host: host!, port: Number(port), allowHalfOpen: true })
  join(client, server)
  join(server, client)
}).listen(path, () => console.log('Relay is ready'))

// It ends with the test, however that ends.
process.on('disconnect', () => process.exit(0))

function join(from: Socket, to: Socket): void {
  from.pipe(to)
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}
