import { Ring, type RingData, type RingDevice } from '../../common/ring/ring.ts'

export interface RingOptions {
  readonly replicas: number
  readonly partPower: number
  /** Name of the device on each node. */
  readonly device: string
  /** Turns all partitions on by so many devices. */
  readonly rotate?: number
}

/** A ring of one device on each node, each in a zone: partition p has its replicas on p, p + 1, … (round). */
export function ringOver(
  nodes: readonly { readonly ip: string; readonly port: number }[],
  options: RingOptions,
): Ring {
  return new Ring(ringDataOver(nodes, options))
}

/** The same as data. */
export function ringDataOver(
  nodes: readonly { readonly ip: string; readonly port: number }[],
  options: RingOptions,
): RingData {
  const { replicas, partPower, device, rotate = 0 } = options
  const devices = nodes.map(
    ({ ip, port }, id): RingDevice => ({
      id,
      region: 1,
      zone: id + 1,
      ip,
      port,
      replicationIp: ip,
      replicationPort: port,
      device,
      weight: 1,
      meta: '',
    }),
  )
  return {
    version: 1,
    partPower,
    replicaCount: replicas,
    devices,
    replicaToPartToDevice: Array.from({ length: replicas }, (_, replica) =>
      Uint32Array.from(
        { length: 2 ** partPower },
        (__, part) => (part + replica + rotate) % nodes.length,
      ),
    ),
    placement: 'xxh64',
  }
}

/** Nodes on one address, a port each. */
export function onLoopback(ports: readonly number[]): { ip: string; port: number }[] {
  return ports.map((port) => ({ ip: '127.0.0.1', port }))
}
