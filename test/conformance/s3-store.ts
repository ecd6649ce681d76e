import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type StoreProcess, startStore } from '../../bench/store-process.ts'
import { type Certificate, makeCertificate } from '../support/certificate.ts'
import { makeS3User, openKeystoneAdmin, type S3User } from '../support/keystone-admin.ts'
import { startWebIdentityProvider, type WebIdentityProvider } from './web-identity-provider.ts'

/** The tests have it in their text. */
const PROVIDER_PORT = 8080
const PROVIDER_HOST = `localhost:${PROVIDER_PORT}`

export interface S3StoreOptions {
  /** Everything is kept below it. */
  readonly folder: string
  readonly threads: number
  readonly https: boolean
}

/** A Swiftlet with the users that ceph/s3-tests wants. */
export interface S3Store {
  readonly store: StoreProcess
  readonly provider: WebIdentityProvider
  /** The configuration file of the tests. */
  readonly config: string
  /** For those that ask who has signed the certificate. */
  readonly env: Readonly<Record<string, string>>
}

/** The sections of the tests' configuration, and who each is. Emails are unique, as S3 has it. */
const USERS = {
  's3 main': { name: 'main', project: 'main', email: 'main@example.com' },
  's3 alt': { name: 'alt', project: 'alt', email: 'alt@example.com' },
  's3 tenant': { name: 'tenant', project: 'tenant', email: 'tenant@example.com' },
  iam: { name: 'iam', project: 'iam', email: 'iam@example.com', role: 'manager' },
  'iam root': { name: 'root', project: 'root', email: 'root@example.com', role: 'manager' },
  'iam alt root': {
    name: 'alt-root',
    project: 'alt-root',
    email: 'alt-root@example.com',
    role: 'manager',
  },
} as const

const DAY_SECONDS = 10
/** Beside STANDARD, in a policy of their own. */
const COLD_POLICY = 'cold'
const CLASSES = ['LUKEWARM', 'FROZEN'] as const

type Section = keyof typeof USERS

/** Starts it, makes the users, and writes the tests' configuration. */
export async function startS3Store(asked: S3StoreOptions): Promise<S3Store> {
  const { folder, threads, https } = asked
  const data = join(folder, 'data')
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const certificate = https ? certificateIn(folder) : null
  const tls =
    certificate === null ? [] : ['--tls-cert', certificate.cert, '--tls-key', certificate.key]
  const start = (shape: readonly string[] = []) =>
    startStore({
      dataFolder: data,
      port,
      extraArguments: ['--threads', String(threads), ...tls, ...shape],
    })
  const first = await start(['--policy', COLD_POLICY])
  const users = await makeUsers(data, https)
  await first.stop()
  // Policies of the user `iam` are about all accounts: the tests want it so.
  await setKeys(data)
  await changeSettings(data, 'identity', {
    cloudProjectId: users.iam.projectId,
    webIdentityHosts: [PROVIDER_HOST],
  })
  const provider = await startWebIdentityProvider(PROVIDER_PORT)
  const store = await start()
  const config = join(folder, 's3tests.conf')
  const text = `${configText(users, { port, https })}${provider.section}`
  await writeFile(config, text, { mode: 0o600 })
  return { store, provider, config, env: certificate === null ? {} : trusting(certificate) }
}

async function changeSettings(
  data: string,
  part: 'identity' | 's3',
  change: object,
): Promise<void> {
  const path = join(data, 'swiftlet.json')
  const settings = JSON.parse(await readFile(path, 'utf8'))
  const changed = { ...settings[part], ...change }
  await writeFile(path, `${JSON.stringify({ ...settings, [part]: changed }, null, 2)}\n`)
}

/** The tests name these keys. */
async function setKeys(data: string): Promise<void> {
  const secret = () => randomBytes(32).toString('base64')
  const secrets = { store: secret(), 'testkey-1': secret(), 'testkey-2': secret() }
  const keys = { active: 'store', secrets }
  await writeFile(join(data, 's3-keys.json'), JSON.stringify(keys), { mode: 0o600 })
  await changeSettings(data, 's3', {
    domains: [],
    keyFile: 's3-keys.json',
    // Lifecycle rules are tested with days of seconds.
    lifecycleDaySeconds: DAY_SECONDS,
    storageClasses: CLASSES.map((name) => ({ name, policy: COLD_POLICY })),
    transitionBytesMin: 0,
  })
}

function certificateIn(folder: string): Certificate {
  const made = makeCertificate(folder)
  if (made === null) throw new Error('HTTPS needs openssl')
  return made
}

/** By `ssl_verify` some tests look away; boto3, requests and Python's own sockets have names of their own for it. */
function trusting({ cert }: Certificate): Readonly<Record<string, string>> {
  return { AWS_CA_BUNDLE: cert, REQUESTS_CA_BUNDLE: cert, SSL_CERT_FILE: cert }
}

async function makeUsers(data: string, https: boolean): Promise<Readonly<Record<Section, S3User>>> {
  const { user, password } = JSON.parse(await readFile(join(data, 'credentials'), 'utf8'))
  const { identity } = JSON.parse(await readFile(join(data, 'endpoints.json'), 'utf8'))
  const [project, name] = user.split(':')
  if (https) process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  const keystone = await openKeystoneAdmin({ url: `${identity}/v3`, user: name, password, project })
  const made: Partial<Record<Section, S3User>> = {}
  for (const [section, asked] of Object.entries(USERS)) {
    made[section as Section] = await makeS3User(keystone, asked)
  }
  return made as Record<Section, S3User>
}

/** What S3 calls a user there is his account, by id and by name. */
function configText(
  users: Readonly<Record<Section, S3User>>,
  { port, https }: { readonly port: number; readonly https: boolean },
): string {
  const section = (name: Section, more: readonly string[] = []) => {
    const { account, accessKey, secretKey } = users[name]
    return [
      `[${name}]`,
      `access_key = ${accessKey}`,
      `secret_key = ${secretKey}`,
      `user_id = ${account}`,
      `display_name = ${account}`,
      `email = ${USERS[name].email}`,
      ...more,
      '',
    ]
  }
  return [
    '[DEFAULT]',
    'host = localhost',
    `port = ${port}`,
    `is_secure = ${https ? 'True' : 'False'}`,
    'ssl_verify = False',
    '',
    '[fixtures]',
    'bucket prefix = s3t-{random}-',
    'iam name prefix = s3-tests-',
    'iam path prefix = /s3-tests/',
    '',
    ...section('s3 main', [
      `lc_debug_interval = ${DAY_SECONDS}`,
      `storage_classes = ${CLASSES.join(', ')}`,
    ]),
    ...section('s3 alt'),
    // What they call a tenant stands before a bucket's name: here it is the account.
    ...section('s3 tenant', [`tenant = ${users['s3 tenant'].account}`]),
    ...section('iam'),
    ...section('iam root'),
    ...section('iam alt root'),
  ].join('\n')
}
