import { ServiceError } from '../common/errors.ts'
import type { Builder } from './builder.ts'

/**
 * Looks for what a bug in building would leave: partitions without a device, on a device that is not there, or twice
 * on one. Throws ServiceError RingInvalid with the first such place.
 */
export function validateBuilder(builder: Builder): void {
  const { rows, devices } = builder
  if (rows.length === 0) throw invalid('the ring has no assignments; did you forget to rebalance?')
  const partitionCount = 2 ** builder.partPower
  for (const [replica, row] of rows.entries()) {
    if (row.length < partitionCount && replica < rows.length - 1) {
      throw invalid(
        `The partition assignments of replica ${replica} were shorter than expected (${row.length} < ${partitionCount})` +
          ' - this should only happen for the last replica',
      )
    }
  }
  for (let partition = 0; partition < partitionCount; partition++) {
    const ids = rows.filter((row) => partition < row.length).map((row) => row[partition]!)
    const replica = ids.findIndex((id) => (devices[id] ?? null) === null)
    if (replica >= 0) {
      throw invalid(`Partition ${partition}, replica ${replica} was not allocated to a device.`)
    }
    if (new Set(ids).size < ids.length) {
      throw invalid(
        `The partition ${partition} has been assigned to duplicate devices ${ids.join(', ')}`,
      )
    }
  }
}

function invalid(message: string): ServiceError {
  return new ServiceError('RingInvalid', message)
}
