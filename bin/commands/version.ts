import { Command } from 'commander'
import { projectVersion } from '../project.ts'

export function versionCommand(): Command {
  return new Command('version').description('print the version').action(() => {
    console.log(`swiftlet ${projectVersion()} (node ${process.versions.node})`)
  })
}
