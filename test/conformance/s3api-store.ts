/** A Swiftlet for the functional tests of Swift's own s3api. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { freePort, startStore } from '../../bench/store-process.ts'
import {
  ensureItem,
  type KeystoneAdmin,
  makeS3User,
  openKeystoneAdmin,
  type S3User,
} from '../support/keystone-admin.ts'

export interface S3ApiStore {
  /** The suite's `test.conf`. */
  readonly confFile: string
  stop(): Promise<void>
}

/** Elsewhere than in us-east-1, for there one's own bucket made again is no error, and the suite wants one. */
const REGION = 'eu-north-1'
const PROJECT = 'test'
const PASSWORD = 'testing'
/** Two who own the account, and one who has no right in it of his own. */
const USERS = [
  { name: 'tester', role: 'member' },
  { name: 'tester2', role: 'member' },
  { name: 'tester3', role: 'guest' },
] as const

/** Starts it below the folder, makes the users, and writes what the suite is told. */
export async function startS3ApiStore(options: {
  readonly folder: string
  readonly threads: string
}): Promise<S3ApiStore> {
  const { folder, threads } = options
  const dataFolder = join(folder, 'data')
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const start = () => startStore({ dataFolder, port, extraArguments: ['--threads', threads] })
  const first = await start()
  const users = await makeUsers(await adminOf(dataFolder)).finally(() => first.stop())
  await setRegion(dataFolder)
  const store = await start()
  const desk = await startSignInDesk(`${store.origin}/auth/v1.0`)
  const confFile = join(folder, 'test.conf')
  const authUri = `http://127.0.0.1:${(desk.address() as AddressInfo).port}/auth/v1.0`
  await writeFile(confFile, confText(users, { authUri, origin: store.origin }), { mode: 0o600 })
  return {
    confFile,
    async stop() {
      desk.close()
      const code = await store.stop()
      if (code !== 0) throw new Error(`swiftlet ended with ${code}:\n${store.output()}`)
    },
  }
}

async function adminOf(dataFolder: string): Promise<KeystoneAdmin> {
  const { user, password } = JSON.parse(await readFile(join(dataFolder, 'credentials'), 'utf8'))
  const { identity } = JSON.parse(await readFile(join(dataFolder, 'endpoints.json'), 'utf8'))
  const [project, name] = user.split(':')
  return openKeystoneAdmin({ url: `${identity}/v3`, user: name, password, project })
}

async function makeUsers(keystone: KeystoneAdmin): Promise<readonly S3User[]> {
  await ensureItem(keystone, 'role', { name: 'guest' })
  const users: S3User[] = []
  for (const { name, role } of USERS) {
    const user = await makeS3User(keystone, { name, project: PROJECT, role })
    await keystone.call('PATCH', `/users/${user.userId}`, { user: { password: PASSWORD } })
    users.push(user)
  }
  return users
}

async function setRegion(dataFolder: string): Promise<void> {
  const path = join(dataFolder, 'swiftlet.json')
  const settings = JSON.parse(await readFile(path, 'utf8'))
  const changed = { ...settings, s3: { ...settings.s3, region: REGION } }
  await writeFile(path, `${JSON.stringify(changed, null, 2)}\n`)
}

/**
 * Where the suite signs in. It takes the name that it signs in by for the owner of its buckets, which is the account here:
 * under that name the desk signs in the first user.
 */
async function startSignInDesk(url: string): Promise<Server> {
  const headers = { 'x-auth-user': `${PROJECT}:${USERS[0].name}`, 'x-auth-key': PASSWORD }
  const server = createServer(async (_request, response) => {
    const answer = await fetch(url, { headers }).catch(() => null)
    const passedOn = ['x-storage-url', 'x-auth-token', 'x-storage-token'].flatMap((name) => {
      const value = answer?.headers.get(name)
      return value ? [[name, value] as const] : []
    })
    response.writeHead(answer?.status ?? 502, Object.fromEntries(passedOn)).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

function confText(
  users: readonly S3User[],
  { authUri, origin }: { readonly authUri: string; readonly origin: string },
): string {
  const keys = users.flatMap(({ accessKey, secretKey }, i) => {
    const suffix = i === 0 ? '' : String(i + 1)
    return [`s3_access_key${suffix} = ${accessKey}`, `s3_secret_key${suffix} = ${secretKey}`]
  })
  return [
    '[func_test]',
    `auth_uri = ${authUri}`,
    'auth_version = 1',
    `s3_storage_url = ${origin}/`,
    `s3_region = ${REGION}`,
    `username = ${users[0]!.account}`,
    `password = ${PASSWORD}`,
    ...keys,
    'collate = C',
    '',
    '[swift-constraints]',
    '',
  ].join('\n')
}
