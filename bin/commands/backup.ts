import { resolve } from 'node:path'
import { Command } from 'commander'
import { backUp, restore } from '../backup.ts'
import { DEFAULT_DATA } from '../defaults.ts'

export function backupCommand(): Command {
  return new Command('backup')
    .description('write settings, keys, users and rings to an archive; the store may be running')
    .argument('<archive>', 'a new file, such as swiftlet.tar.gz; it holds all keys')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .action(async (archive: string, { data }: { readonly data: string }) => {
      const names = await backUp(resolve(data), resolve(archive))
      console.log(`${archive}: ${names.join(', ')}`)
    })
}

export function restoreCommand(): Command {
  return new Command('restore')
    .description('unpack an archive of `backup` into a data folder that has no settings')
    .argument('<archive>')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .addHelpText('after', '\nDisks that are in the folder stay as they are.')
    .action(async (archive: string, { data }: { readonly data: string }) => {
      const names = await restore(resolve(archive), resolve(data))
      console.log(`${data}: ${names.join(', ')}`)
    })
}
