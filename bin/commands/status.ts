import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { systemClock as clock } from '../../common/clock.ts'
import { statusText } from '../../proxy/status/status-text.ts'
import { openStatusSource } from '../cluster-status.ts'
import { DEFAULT_DATA } from '../defaults.ts'
import { wholeNumber } from '../option-values.ts'

interface StatusFlags {
  readonly data: string
  readonly json?: boolean
  readonly watch?: boolean
  readonly interval: number
}

/** `swiftlet status`: exit code 0 if the cluster is well or sees to itself, 1 if it does not take all writes. */
export function statusCommand(): Command {
  return new Command('status')
    .description('draw the cluster: regions, zones, nodes and devices, what is degraded and moving')
    .option('--data <folder>', 'the data folder of `up`, `cluster` or a proxy', DEFAULT_DATA)
    .option('--json', 'as JSON, one line')
    .option('--watch', 'draw it again and again until Ctrl-C')
    .option(
      '--interval <seconds>',
      'pause between two drawings',
      wholeNumber({ min: 1, max: 3600 }),
      2,
    )
    .action(showStatus)
}

async function showStatus(flags: StatusFlags): Promise<void> {
  const source = await openStatusSource(resolve(flags.data), { clock })
  try {
    do {
      const found = await source.read()
      const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined
      const text = flags.json === true ? JSON.stringify(found) : statusText(found, { colour })
      process.stdout.write(flags.watch === true && colour ? `${CLEAR}${text}\n` : `${text}\n`)
      process.exitCode = found.health === 'refusing' ? 1 : 0
      if (flags.watch === true) await sleep(flags.interval * 1000)
    } while (flags.watch === true)
  } finally {
    await source.close()
  }
}

/** The cursor to the upper left, and nothing below it. */
const CLEAR = '\u001b[H\u001b[2J'
