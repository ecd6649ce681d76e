import { ServiceError } from '../common/errors.ts'
import { type Builder, PART_POWER_MAX, refuseTooLarge } from './builder.ts'

/**
 * Doubling the partitions, in four steps between which the rings are written and handed out: prepare (nodes begin to
 * keep data at its future partition too), increase (partition p becomes 2p and 2p + 1 on the same devices), then
 * finish once the old places are cleaned up; or cancel instead of increase. All throw ServiceError PartPowerStep where
 * the step is not due.
 */

export function preparePartPower(builder: Builder): Builder {
  if (builder.nextPartPower !== null) {
    throw notDue('Ring is already prepared for partition power increase.')
  }
  if (builder.partPower === PART_POWER_MAX)
    throw notDue(`The partition power is ${PART_POWER_MAX}, its maximum.`)
  return { ...builder, nextPartPower: builder.partPower + 1, version: builder.version + 1 }
}

export function increasePartPower(builder: Builder): Builder {
  if (builder.nextPartPower !== builder.partPower + 1) {
    throw notDue(
      'Ring partition power cannot be increased. Either the ring was not prepared yet, or this operation has already run.',
    )
  }
  refuseTooLarge(builder.nextPartPower, builder.replicas)
  return {
    ...builder,
    partPower: builder.nextPartPower,
    version: builder.version + 1,
    rows: builder.rows.map(twice),
    lastMovedS: twice(builder.lastMovedS),
  }
}

export function cancelPartPower(builder: Builder): Builder {
  if (builder.nextPartPower !== builder.partPower + 1) {
    throw notDue('Ring partition power increase cannot be canceled.')
  }
  // Not gone yet: nodes must clean up the places that they prepared.
  return { ...builder, nextPartPower: builder.partPower, version: builder.version + 1 }
}

export function finishPartPower(builder: Builder): Builder {
  if (builder.nextPartPower !== builder.partPower) {
    throw notDue('Ring partition power increase cannot be finished.')
  }
  return { ...builder, nextPartPower: null, version: builder.version + 1 }
}

function twice(values: Uint32Array): Uint32Array {
  const doubled = new Uint32Array(values.length * 2)
  for (let at = 0; at < values.length; at++) {
    doubled[2 * at] = values[at]!
    doubled[2 * at + 1] = values[at]!
  }
  return doubled
}

function notDue(message: string): ServiceError {
  return new ServiceError('PartPowerStep', message)
}
