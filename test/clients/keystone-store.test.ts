/** Clients of OpenStack use the object store with tokens of its identity service: swift, openstack, openstacksdk. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { missing, type Run, run } from '../support/client-tree.ts'
import {
  freePortOffset,
  runSwiftlet,
  type StartedSwiftlet,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

const timeout = 400_000
const work = t.testdir({ 'hello.txt': 'hello\n' })
const data = join(work, 'data')
/** Debian's, for which the packages are. */
const PYTHON = '/usr/bin/python3'
const noSdk =
  spawnSync(PYTHON, ['-c', 'import openstack']).status !== 0 && 'openstacksdk is not installed'
let started: StartedSwiftlet
let env: Readonly<Record<string, string>>

t.before(async () => {
  started = await startSwiftlet(t, ['--data', data, ...(await freePortOffset())])
  env = await swiftletEnv(data)
  for (const [user, role] of [
    ['team:ann', 'member'],
    ['team:rita', 'reader'],
    ['shop:sam', 'member'],
  ] as const) {
    const added = await runSwiftlet([
      ...['user', 'add', user, '--role', role],
      ...['--key', `${user} key`, '--data', data],
    ])
    if (added.code !== 0) throw new Error(added.stderr)
  }
})

t.teardown(() => started.end('SIGTERM'))

/** Variables for a user of a project, and nothing of the v1 sign-in. */
function envOf(name: string): Readonly<Record<string, string>> {
  const [project, user] = name.split(':') as [string, string]
  const ofCloud = Object.entries(env).filter(([key]) => key.startsWith('OS_'))
  return {
    ...Object.fromEntries(ofCloud),
    OS_USERNAME: user,
    OS_PASSWORD: `${name} key`,
    OS_PROJECT_NAME: project,
    ST_AUTH: '',
    ST_USER: '',
    ST_KEY: '',
  }
}

async function ok(t: Test, running: Promise<Run>): Promise<string> {
  const { code, output } = await running
  t.equal(code, 0, output)
  return output
}

t.test('swift with Keystone v3', { timeout, skip: missing('swift') }, async (t) => {
  const as =
    (name: string) =>
    (...args: string[]) =>
      run('swift', ['--auth-version', '3', ...args], { cwd: work, env: envOf(name) })
  const [ann, rita, sam] = [as('team:ann'), as('team:rita'), as('shop:sam')]
  t.match(await ok(t, ann('stat')), /Account: AUTH_team$/m)
  await ok(t, ann('upload', 'box', 'hello.txt'))
  t.match(await ok(t, ann('list', 'box')), /^hello\.txt$/m)
  await ok(t, ann('download', 'box', 'hello.txt', '--output', 'back.txt'))
  t.equal(readFileSync(join(work, 'back.txt'), 'utf8'), 'hello\n')

  t.match(await ok(t, rita('list', 'box')), /hello/, 'a reader reads')
  const put = await rita('upload', 'box', 'hello.txt', '--object-name', 'by-rita')
  t.not(put.code, 0, 'and does not write')
  t.match(put.output, /403|Forbidden/)
  const storage = `${started.origin}/v1/AUTH_team`
  const samThere = (...args: string[]) => sam('--os-storage-url', storage, ...args)
  t.match((await samThere('list', 'box')).output, /403|Forbidden/, 'others see nothing')
  await ok(t, ann('post', 'box', '--read-acl', 'shop:sam'))
  t.match(await ok(t, samThere('list', 'box')), /hello/, 'until an ACL names them')
  t.match((await samThere('delete', 'box', 'hello.txt')).output, /403|Forbidden/)
  const wrong = { ...envOf('team:ann'), OS_PASSWORD: 'wrong' }
  const refused = await run('swift', ['--auth-version', '3', 'stat'], { cwd: work, env: wrong })
  t.match(refused.output, /Unauthorized/)
  await ok(t, ann('delete', 'box'))
})

t.test('swift with the v1 sign-in', { timeout, skip: missing('swift') }, async (t) => {
  const user = { ST_USER: 'team:ann', ST_KEY: 'team:ann key' }
  const swift = (...args: string[]) => run('swift', args, { cwd: work, env: { ...env, ...user } })
  t.match(await ok(t, swift('stat')), /Account: AUTH_team$/m)
  await ok(t, swift('upload', 'old', 'hello.txt'))
  t.match(await ok(t, swift('list', 'old')), /^hello\.txt$/m)
  await ok(t, swift('delete', 'old'))
})

t.test('openstack --os-cloud swiftlet', { timeout, skip: missing('openstack') }, async (t) => {
  const openstack = (...args: string[]) => run('openstack', args, { cwd: work, env })
  const cloud = ['--os-cloud', 'swiftlet']
  t.match(await ok(t, openstack(...cloud, 'catalog', 'list', '-f', 'json')), /object-store/)
  await ok(t, openstack(...cloud, 'container', 'create', 'docs'))
  await ok(t, openstack(...cloud, 'object', 'create', 'docs', 'hello.txt'))
  t.match(await ok(t, openstack(...cloud, 'object', 'list', 'docs', '-f', 'value')), /hello\.txt/)
  await ok(t, openstack(...cloud, 'container', 'delete', '--recursive', 'docs'))
  const scope = ['--os-cloud', 'swiftlet-system', 'role', 'assignment', 'list', '--system', 'all']
  t.match(await ok(t, openstack(...scope, '--names', '-f', 'value')), /admin/)
})

/** What openstacksdk's users write; it prints what it has seen. */
const SDK_SCRIPT = `
import json, openstack, time
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from openstack import exceptions
seen = {}
cloud = openstack.connect(cloud='swiftlet')
store = cloud.object_store
seen['endpoint'] = store.get_endpoint()
store.create_container('sdk')
store.set_container_metadata('sdk', color='red')
store.upload_object(container='sdk', name='a/one.txt', data='one')
cloud.create_object('sdk', 'hello.txt', filename='hello.txt', md5='b1946ac92492d2347c6235b4d2611184')
seen['names'] = [o.name for o in store.objects('sdk')]
seen['text'] = store.download_object('a/one.txt', container='sdk').decode()
seen['color'] = store.get_container_metadata('sdk').metadata.get('color')
seen['count'] = int(store.get_container_metadata('sdk').object_count)
seen['length'] = int(store.get_object_metadata('hello.txt', container='sdk').content_length)
try:
    store.get_object_metadata('none', container='sdk')
except exceptions.ResourceNotFound:
    seen['none'] = 404
# The token is voided behind the client's back: it signs in again by itself.
token = cloud.auth_token
cloud.session.delete(cloud.session.auth.auth_url + '/auth/tokens', headers={'X-Subject-Token': token})
def void():
    try:
        urlopen(Request(seen['endpoint'], headers={'X-Auth-Token': token}))
    except HTTPError as error:
        return error.code == 401
for _ in range(600):
    if all(void() for _ in range(8)):
        break
    time.sleep(0.1)
seen['again'] = [c.name for c in store.containers()]
for name in seen['names']:
    store.delete_object(name, container='sdk')
store.delete_container('sdk')
seen['left'] = [c.name for c in store.containers()]
stranger = openstack.connect(
    auth_url=cloud.session.auth.auth_url, username='sam', password='shop:sam key', project_name='shop',
    user_domain_name='Default', project_domain_name='Default', region_name='RegionOne',
    load_yaml_config=False, load_envvars=False)
seen['stranger'] = stranger.object_store.get_endpoint()
try:
    stranger.session.get(seen['endpoint'])
except Exception as error:
    seen['refused'] = getattr(error, 'http_status', None) or getattr(error, 'status_code', None)
print(json.dumps(seen))
`

t.test("openstacksdk's object store", { timeout, skip: noSdk }, async (t) => {
  writeFileSync(join(work, 'sdk.py'), SDK_SCRIPT)
  const output = await ok(t, run(PYTHON, ['sdk.py'], { cwd: work, env: cloudOnly() }))
  const seen = JSON.parse(output.trim().split('\n').at(-1) ?? '{}')
  t.match(seen, {
    endpoint: /\/v1\/AUTH_[0-9a-f]{32}$/,
    text: 'one',
    color: 'red',
    count: 2,
    length: 6,
    none: 404,
    stranger: /\/v1\/AUTH_shop$/,
    refused: 403,
  })
  t.strictSame(seen.names, ['a/one.txt', 'hello.txt'])
  t.ok(seen.again.includes('sdk'))
  t.notOk(seen.left.includes('sdk'))
})

/** Only where clouds.yaml is: what else is in the environment would take its place. */
function cloudOnly(): Readonly<Record<string, string>> {
  return { OS_CLIENT_CONFIG_FILE: env.OS_CLIENT_CONFIG_FILE! }
}
