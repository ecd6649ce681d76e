/**
 * Accounts and PAM rules of a test's own, seen by the programs that get its environment and by nobody else
 * (libnss-wrapper, libpam-wrapper); passwords by pam_pwdfile. No account of the machine is touched.
 */
import { accessSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

const LIBRARIES = ['libpam_wrapper.so', 'libnss_wrapper.so']

/** Why tests with PAM are skipped; false if they are not. */
export function pamMissing(): string | false {
  const there = (path: string) => {
    try {
      accessSync(path)
      return true
    } catch {
      return false
    }
  }
  if (!there('/usr/bin/pamtester')) return 'pamtester is not installed'
  const folders = readdirSync('/usr/lib').map((name) => join('/usr/lib', name))
  const missing = LIBRARIES.filter((name) => !folders.some((folder) => there(join(folder, name))))
  return missing.length > 0 && `${missing.join(', ')} are not installed`
}

export interface PamAccounts {
  readonly env: Readonly<Record<string, string>>
  /** Lines of passwd(5). */
  setAccounts(lines: readonly string[]): Promise<void>
}

/** Makes accounts; `rules` are the files of PAM, whose `PASSWORDS` becomes the file of the hashes. */
export async function makePamAccounts(
  t: Test,
  parts: {
    readonly passwd: readonly string[]
    readonly group: readonly string[]
    /** Lines of name and crypt(3) hash. */
    readonly passwords: readonly string[]
    readonly rules: Readonly<Record<string, string>>
  },
): Promise<PamAccounts> {
  const folder = await mkdtemp(join(tmpdir(), 'pam-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const at = (name: string) => join(folder, name)
  await mkdir(at('rules'))
  await writeFile(at('passwd'), linesOf(parts.passwd))
  await writeFile(at('group'), linesOf(parts.group))
  await writeFile(at('passwords'), linesOf(parts.passwords))
  for (const [name, text] of Object.entries(parts.rules)) {
    await writeFile(join(at('rules'), name), text.replaceAll('PASSWORDS', at('passwords')))
  }
  return {
    env: {
      LD_PRELOAD: LIBRARIES.join(' '),
      NSS_WRAPPER_PASSWD: at('passwd'),
      NSS_WRAPPER_GROUP: at('group'),
      PAM_WRAPPER: '1',
      PAM_WRAPPER_SERVICE_DIR: at('rules'),
    },
    setAccounts: (lines) => writeFile(at('passwd'), linesOf(lines)),
  }
}

/** Rules that take what is in the file of hashes. */
export const PWDFILE_RULES =
  'auth required pam_pwdfile.so pwdfile=PASSWORDS\naccount required pam_permit.so\n'

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}
