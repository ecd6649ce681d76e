import {
  badArgument,
  pretendMinPartHoursPassed,
  setMinPartHours,
  setOverload,
  setReplicas,
} from '../builder.ts'
import { type BuilderCommand, EXIT_SUCCESS, EXIT_WARNING, type RingContext } from '../command.ts'

/** The commands that change ring-wide settings. */

const pretendCommand: BuilderCommand = {
  name: 'pretend_min_part_hours_passed',
  usage: '',
  summary: 'Let every partition move again now (dangerous before replication is through)',
  needsBuilder: true,
  async run({ files }, builder) {
    await files.saveBuilder(pretendMinPartHoursPassed(builder))
    return EXIT_SUCCESS
  },
}

const setMinPartHoursCommand: BuilderCommand = {
  name: 'set_min_part_hours',
  usage: '<hours>',
  summary: 'Set how long a partition rests after a move: at least a full replication cycle',
  needsBuilder: true,
  async run(context, builder) {
    const hours = numberArgument(context)
    const next = setMinPartHours(builder, hours)
    await context.files.saveBuilder(next)
    context.io.print(
      `The minimum number of hours before a partition can be reassigned is now set to ${hours}`,
    )
    return EXIT_SUCCESS
  },
}

const setReplicasCommand: BuilderCommand = {
  name: 'set_replicas',
  usage: '<replicas>',
  summary: 'Set the replica count; with 2.5, half of the partitions have three replicas',
  needsBuilder: true,
  async run(context, builder) {
    const next = setReplicas(builder, numberArgument(context))
    await context.files.saveBuilder(next)
    context.io.print(`The replica count is now ${next.replicas.toFixed(6)}.`)
    context.io.print('The change will take effect after the next rebalance.')
    return EXIT_SUCCESS
  },
}

const setOverloadCommand: BuilderCommand = {
  name: 'set_overload',
  usage: '<overload>[%]',
  summary: 'Set how far devices may exceed their share to keep replicas apart',
  needsBuilder: true,
  async run(context, builder) {
    const text = onlyArgument(context)
    const percent = text.endsWith('%')
    const value = parseNumber(percent ? text.slice(0, -1) : text)
    const next = setOverload(builder, percent ? value / 100 : value)
    const suspicious = !percent && value > 1
    if (suspicious) context.io.print('!?! Warning overload is greater than 100% !?!')
    await context.files.saveBuilder(next)
    context.io.print(
      `The overload factor is now ${(next.overload * 100).toFixed(2)}% (${next.overload.toFixed(6)})`,
    )
    context.io.print('The change will take effect after the next rebalance.')
    return suspicious ? EXIT_WARNING : EXIT_SUCCESS
  },
}

export const SETTING_COMMANDS: readonly BuilderCommand[] = [
  pretendCommand,
  setMinPartHoursCommand,
  setReplicasCommand,
  setOverloadCommand,
]

function numberArgument(context: RingContext): number {
  return parseNumber(onlyArgument(context))
}

function onlyArgument(context: RingContext): string {
  const [text, ...others] = context.args
  if (text === undefined || others.length > 0) throw badArgument('exactly one value is expected')
  return text
}

function parseNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value))
    throw badArgument(`"${text}" is not a valid number.`)
  return value
}
