import { ServiceError } from '../common/errors.ts'
import { type Builder, partsByDevice, presentDevices } from './builder.ts'

/** Stands for an infinite overload: a device without weight that holds something. The same figure as Swift's. */
export const BALANCE_MAX = 999.99

/** By device id: by how many percent it holds more (or, negative, less) than its weight's share. Throws ServiceError RingEmpty. */
export function balanceByDevice(builder: Builder): ReadonlyMap<number, number> {
  const parts = partsByDevice(builder)
  const shareOfOne = slotsPerWeight(builder)
  return new Map(
    presentDevices(builder).map((device) => {
      const held = parts[device.id]!
      if (device.weight > 0) return [device.id, (100 * held) / (device.weight * shareOfOne) - 100]
      return [device.id, held > 0 ? BALANCE_MAX : 0]
    }),
  )
}

/** The worst device's balance, as a positive percentage. Throws ServiceError RingEmpty. */
export function worstBalance(builder: Builder): number {
  let worst = 0
  for (const balance of balanceByDevice(builder).values())
    worst = Math.max(worst, Math.abs(balance))
  return worst
}

function slotsPerWeight(builder: Builder): number {
  const weight = presentDevices(builder).reduce((sum, device) => sum + device.weight, 0)
  if (weight > 0) return (2 ** builder.partPower * builder.replicas) / weight
  throw new ServiceError(
    'RingEmpty',
    'There are no devices in this ring, or all devices have been deleted',
  )
}
