/** Debian's slapd, started by a test on a loopback address with a directory of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../../bench/store-process.ts'
import { makeCertificate } from './certificate.ts'

const SLAPD = '/usr/sbin/slapd'
const READY_TRIES_MAX = 500
export const LDAP_SUFFIX = 'dc=example,dc=org'
/** Whom the service searches as. */
export const LDAP_SEARCHER = { dn: `cn=search,${LDAP_SUFFIX}`, password: 'search-secret' }

/** Why tests with slapd are skipped; false if they are not. */
export function ldapMissing(): string | false {
  try {
    accessSync(SLAPD)
    return false
  } catch {
    return 'slapd is not installed'
  }
}

/** A server that runs. */
export class LdapServer {
  readonly port: number
  readonly tlsPort: number
  /** The certificate that signed itself; it is the server's, for localhost. Null without openssl. */
  readonly caFile: string | null
  readonly #folder: string
  #process: ChildProcess | null = null

  private constructor(parts: {
    readonly port: number
    readonly tlsPort: number
    readonly caFile: string | null
    readonly folder: string
  }) {
    this.port = parts.port
    this.tlsPort = parts.tlsPort
    this.caFile = parts.caFile
    this.#folder = parts.folder
  }

  /** Makes and starts one with these entries below the suffix; it is gone with the test. */
  static async start(t: Test, ldif: string): Promise<LdapServer> {
    const folder = await mkdtemp(join(tmpdir(), 'ldap-'))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    const caFile = makeCertificate(folder)?.cert ?? null
    const [port, tlsPort] = [await freePort(), await freePort()]
    await mkdir(join(folder, 'db'))
    await writeFile(join(folder, 'slapd.conf'), configuration(folder, caFile))
    await writeFile(join(folder, 'base.ldif'), `${BASE}\n${ldif}`)
    execFileSync('/usr/sbin/slapadd', [
      ...['-f', join(folder, 'slapd.conf'), '-l', join(folder, 'base.ldif'), '-q'],
    ])
    const server = new LdapServer({ port, tlsPort, caFile, folder })
    t.teardown(() => server.stop())
    await server.restart()
    return server
  }

  get url(): string {
    return `ldap://127.0.0.1:${this.port}`
  }

  async restart(): Promise<void> {
    const tls = this.caFile === null ? '' : ` ldaps://127.0.0.1:${this.tlsPort}`
    const args = ['-h', `${this.url}/${tls}`, '-f', join(this.#folder, 'slapd.conf'), '-d', '0']
    const server = spawn(SLAPD, args, { stdio: 'ignore' })
    this.#process = server
    for (let tries = 0; tries < READY_TRIES_MAX && server.exitCode === null; tries++) {
      if (await listens(this.port)) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error('slapd did not start')
  }

  async stop(): Promise<void> {
    const running = this.#process
    this.#process = null
    if (running === null || running.exitCode !== null || running.signalCode !== null) return
    const exited = once(running, 'exit')
    running.kill('SIGTERM')
    await exited
  }

  /** Changes entries, as the directory's administrator: LDIF with `changetype`. */
  modify(ldif: string): void {
    const bind = ['-x', '-H', this.url, '-D', `cn=admin,${LDAP_SUFFIX}`, '-w', 'admin-secret']
    execFileSync('ldapmodify', bind, { input: ldif, stdio: ['pipe', 'ignore', 'inherit'] })
  }
}

const BASE = `dn: ${LDAP_SUFFIX}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ${LDAP_SEARCHER.dn}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: ${LDAP_SEARCHER.password}

dn: ou=Users,${LDAP_SUFFIX}
objectClass: organizationalUnit
ou: Users

dn: ou=Groups,${LDAP_SUFFIX}
objectClass: organizationalUnit
ou: Groups
`

function configuration(folder: string, caFile: string | null): string {
  const schemas = ['core', 'cosine', 'nis', 'inetorgperson']
  return `${schemas.map((name) => `include /etc/ldap/schema/${name}.schema`).join('\n')}
modulepath /usr/lib/ldap
moduleload back_mdb
${caFile === null ? '' : `TLSCertificateFile ${caFile}\nTLSCertificateKeyFile ${folder}/key.pem`}
pidfile ${folder}/slapd.pid
database mdb
suffix "${LDAP_SUFFIX}"
rootdn "cn=admin,${LDAP_SUFFIX}"
rootpw admin-secret
directory ${folder}/db
dbnosync
sizelimit size.soft=100 size.hard=100 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="${LDAP_SEARCHER.dn}" read by * none
`
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
