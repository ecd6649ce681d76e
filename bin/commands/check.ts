import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { ServiceError } from '../../common/errors.ts'
import { nodeDisk } from '../../common/node-disk.ts'
import { readTextFile } from '../../common/whole-file.ts'
import { type CheckReport, checkDevice } from '../../storage-node/check.ts'
import { levelOpener } from '../../storage-node/engine/level-store.ts'
import { dataPaths } from '../data-folder.ts'
import { explainDeviceInUse } from '../device-holder.ts'
import { diskPath } from '../disks.ts'
import { lockHolder } from '../process-lock.ts'
import { decodeSettings } from '../settings.ts'

const PROGRESS_EVERY = 0.05

export function checkCommand(): Command {
  return new Command('check')
    .description('read every byte of devices that nobody uses and report everything that is wrong')
    .argument('<folder>', 'a device, or a data folder for all of its disks')
    .addHelpText('after', '\nExit code 0 if nothing is wrong, 1 otherwise. Nothing is changed.')
    .action(async (folder: string) => {
      let problems = 0
      for (const device of await devicesOf(resolve(folder))) {
        const report = await checkDevice({
          disk: nodeDisk,
          opener: levelOpener,
          directory: device,
          progress: progressOf(device),
        }).catch((error: unknown) => {
          throw explainDeviceInUse(error, [device])
        })
        printReport(device, report)
        problems += report.problems.length + report.moreProblems
      }
      process.exitCode = problems === 0 ? 0 : 1
    })
}

/** The folder itself if it is a device, the disks of a data folder otherwise. */
async function devicesOf(folder: string): Promise<readonly string[]> {
  const paths = dataPaths(folder)
  const text = existsSync(join(folder, 'FORMAT')) ? null : await readTextFile(paths.settings)
  if (text === null) return [folder]
  const pid = lockHolder(paths.lock)
  if (pid !== null) {
    throw new ServiceError('Locked', `${folder} is in use by process ${pid}: stop it first`, {
      status: 409,
    })
  }
  return decodeSettings(text, paths.settings).disks.map((disk) => diskPath(disk, paths))
}

function printReport(device: string, report: CheckReport): void {
  for (const problem of report.problems) console.log(`${device}: ${problem}`)
  if (report.moreProblems > 0) console.log(`${device}: and ${report.moreProblems} more problems`)
  for (const remark of report.remarks) console.log(`${device}: (not wrong) ${remark}`)
  const { segments, records, entries, rows, blobs } = report
  const verdict = report.problems.length === 0 ? 'nothing wrong' : 'DAMAGED'
  console.log(
    `${device}: ${verdict}: ${segments} segments, ${records} records, ${entries} items, ${rows} rows, ${blobs} blobs`,
  )
}

/** On a terminal a line that is drawn over; nothing elsewhere. */
function progressOf(device: string): (stage: string, share: number) => void {
  if (!process.stderr.isTTY) return () => {}
  let shown = ''
  return (stage, share) => {
    const percent = Math.floor(share / PROGRESS_EVERY) * PROGRESS_EVERY * 100
    const text = `${device}: ${stage} ${percent.toFixed(0)} %`
    if (text === shown) return
    shown = text
    process.stderr.write(`\r${text.padEnd(78)}${share >= 1 ? '\r\u001b[K' : ''}`)
  }
}
