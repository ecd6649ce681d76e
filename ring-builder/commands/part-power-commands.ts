import { basename } from 'node:path'
import { ServiceError } from '../../common/errors.ts'
import { type BuilderCommand, EXIT_SUCCESS } from '../command.ts'
import {
  cancelPartPower,
  finishPartPower,
  increasePartPower,
  preparePartPower,
} from '../part-power.ts'

/** The four steps of a partition power increase. After each, write_ring and hand the ring out before the next. */

const EFFECT = 'The change will take effect after the next write_ring.'

const prepareCommand: BuilderCommand = {
  name: 'prepare_increase_partition_power',
  usage: '',
  summary: 'Step 1: announce the doubling of partitions',
  needsBuilder: true,
  async run({ io, files }, builder) {
    // Only objects can be relinked to their future place; account and container databases can not.
    if (!basename(files.builderPath).includes('object')) {
      throw new ServiceError(
        'PartPowerStep',
        'Partition power increase is only supported for object rings.',
      )
    }
    const next = preparePartPower(builder)
    await files.saveBuilder(next)
    io.print(`The next partition power is now ${next.nextPartPower}.`)
    io.print(EFFECT)
    io.print('Let every node use that ring and relink its data before increase_partition_power.')
    return EXIT_SUCCESS
  },
}

const increaseCommand: BuilderCommand = {
  name: 'increase_partition_power',
  usage: '',
  summary: 'Step 2: double the partitions; no data moves between devices',
  needsBuilder: true,
  async run({ io, files }, builder) {
    const next = increasePartPower(builder)
    await files.saveBuilder(next)
    io.print(`The partition power is now ${next.partPower}.`)
    io.print(EFFECT)
    return EXIT_SUCCESS
  },
}

const cancelCommand: BuilderCommand = {
  name: 'cancel_increase_partition_power',
  usage: '',
  summary: 'Instead of step 2: take the announcement back',
  needsBuilder: true,
  async run({ io, files }, builder) {
    const next = cancelPartPower(builder)
    await files.saveBuilder(next)
    io.print(`The next partition power is now ${next.nextPartPower}.`)
    io.print(EFFECT)
    io.print('Let every node use that ring and clean up before finish_increase_partition_power.')
    return EXIT_SUCCESS
  },
}

const finishCommand: BuilderCommand = {
  name: 'finish_increase_partition_power',
  usage: '',
  summary: 'Step 3: done, once every node has cleaned up',
  needsBuilder: true,
  async run({ io, files }, builder) {
    await files.saveBuilder(finishPartPower(builder))
    io.print(EFFECT)
    return EXIT_SUCCESS
  },
}

export const PART_POWER_COMMANDS: readonly BuilderCommand[] = [
  prepareCommand,
  increaseCommand,
  cancelCommand,
  finishCommand,
]
