import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ServiceError } from '../common/errors.ts'

/** What the tests run against Swiftlet, by Debian's package names; libraries come along with a program that uses them. */
const CLIENT_PACKAGES: readonly { readonly program: string; readonly debian: string }[] = [
  { program: 'swift', debian: 'python3-swiftclient' },
  { program: 'rclone', debian: 'rclone' },
  { program: 'curl', debian: 'curl' },
  { program: 'swift-ring-builder', debian: 'swift' },
  { program: 'mkfs.xfs', debian: 'xfsprogs' },
  { program: 'gcc', debian: 'gcc' },
  { program: 'ip', debian: 'iproute2' },
  { program: 'nft', debian: 'nftables' },
  { program: 'faketime', debian: 'faketime' },
  { program: 'chromium', debian: 'chromium' },
  { program: 'pg_ctlcluster', debian: 'postgresql' },
  { program: 'slapd', debian: 'slapd ldap-utils' },
  { program: 'pamtester', debian: 'pamtester libpam-wrapper libnss-wrapper libpam-pwdfile' },
  { program: 's3cmd', debian: 's3cmd' },
  { program: 'aws', debian: 'awscli' },
  { program: 's3fs', debian: 's3fs fuse' },
  { program: 'docker-registry', debian: 'docker-registry' },
  { program: 'restic', debian: 'restic' },
  { program: 'duplicity', debian: 'duplicity python3-swiftclient' },
  { program: 'openstack', debian: 'python3-openstackclient' },
]

/** Programs that are not installed; their tests are skipped. */
export function missingClients(): readonly string[] {
  return CLIENT_PACKAGES.filter(({ program }) => !isInstalled(program)).map(
    ({ program }) => program,
  )
}

/** Installs from Debian what is missing. Throws a ServiceError `NoClients` where that is not possible. */
export async function installClients(print: (line: string) => void): Promise<void> {
  const packages = CLIENT_PACKAGES.filter(({ program }) => !isInstalled(program)).flatMap(
    ({ debian }) => debian.split(' '),
  )
  if (packages.length === 0) return
  print(`installing ${packages.join(' ')} (apt-get)`)
  const prefix = process.getuid?.() === 0 ? [] : ['sudo', '--non-interactive']
  for (const args of [['update'], ['install', '--yes', '--no-install-recommends', ...packages]]) {
    const [command, ...rest] = [...prefix, 'apt-get', '--quiet=2', ...args]
    const { status, error, stderr } = spawnSync(command!, rest, {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    if (status === 0) continue
    const why = error?.message ?? stderr.trim().split('\n').slice(-3).join('; ')
    throw new ServiceError('NoClients', `apt-get ${args.join(' ')} failed: ${why}`)
  }
}

function isInstalled(program: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
