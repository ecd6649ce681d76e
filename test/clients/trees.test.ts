/**
 * The main job with the official clients: a tree of thousands of files and a big file go up and come back the same, by
 * swift, rclone and curl; and what was acknowledged before a kill -9 is there afterwards.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  difference,
  fileNames,
  isLong,
  makeBigFile,
  makeTree,
  md5Of,
  missing,
  run,
  SMALL_TREE_FILES,
  TREE_FILES,
} from '../support/client-tree.ts'
import {
  freePortOffset,
  runSwiftlet,
  signIn,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

const timeout = isLong ? 1_800_000 : 240_000
const work = t.testdir()
const tree = join(work, 'tree')
const smallTree = join(work, 'small-tree')
const big = join(work, 'big.bin')
const data = join(work, 'data')
let up: readonly string[] = []

t.before(async () => {
  makeTree(tree, TREE_FILES)
  makeTree(smallTree, SMALL_TREE_FILES)
  makeBigFile(big)
  up = ['--data', data, ...(await freePortOffset())]
})

t.test('swift: upload, stat, download', { timeout, skip: missing('swift') }, async (t) => {
  const swiftlet = await startSwiftlet(t, up)
  const env = await swiftletEnv(data)
  const swift = (args: string[], cwd = work) => run('swift', args, { cwd, env })
  await ok(t, swift(['upload', '--skip-identical', 'tree', '.'], tree))
  await ok(t, swift(['upload', 'big', 'big.bin']))
  t.match(await swift(['stat', 'tree']), {
    code: 0,
    output: new RegExp(`Objects: ${TREE_FILES}\\b`),
  })
  t.match(await swift(['stat', 'big', 'big.bin']), { output: await md5Of(big) })
  await ok(t, swift(['download', 'tree', '--output-dir', join(work, 'swift-tree'), '--no-shuffle']))
  await ok(t, swift(['download', 'big', '--output-dir', join(work, 'swift-big')]))
  t.equal(await difference(tree, join(work, 'swift-tree')), '')
  t.equal(await md5Of(join(work, 'swift-big', 'big.bin')), await md5Of(big))
  await stop(t, swiftlet)
})

t.test('rclone: sync up, check, sync down', { timeout, skip: missing('rclone') }, async (t) => {
  const swiftlet = await startSwiftlet(t, up)
  const env = await swiftletEnv(data)
  const rcloneEnv = {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_STORE_TYPE: 'swift',
    RCLONE_CONFIG_STORE_AUTH: env.ST_AUTH!,
    RCLONE_CONFIG_STORE_AUTH_VERSION: '1',
    RCLONE_CONFIG_STORE_USER: env.ST_USER!,
    RCLONE_CONFIG_STORE_KEY: env.ST_KEY!,
  }
  const rclone = (...args: string[]) =>
    run('rclone', [...args, '--transfers', '8', '--checkers', '8'], { env: rcloneEnv })
  await ok(t, rclone('sync', smallTree, 'store:rclone-tree'))
  await ok(t, rclone('copy', big, 'store:rclone-big'))
  await ok(t, rclone('check', smallTree, 'store:rclone-tree'))
  await ok(t, rclone('sync', 'store:rclone-tree', join(work, 'rclone-tree')))
  await ok(t, rclone('copy', 'store:rclone-big', join(work, 'rclone-big')))
  t.equal(await difference(smallTree, join(work, 'rclone-tree')), '')
  t.equal(await md5Of(join(work, 'rclone-big', 'big.bin')), await md5Of(big))
  t.match(await rclone('size', 'store:rclone-tree'), {
    output: new RegExp(`\\b${SMALL_TREE_FILES}\\b`),
  })
  await stop(t, swiftlet)
})

t.test('curl: a tree, a big file, a range', { timeout, skip: missing('curl') }, async (t) => {
  const swiftlet = await startSwiftlet(t, up)
  const { token, storageUrl, send } = await signIn(data)
  t.equal((await send('PUT', '/curl')).status, 201)
  const back = join(work, 'curl-tree')
  mkdirSync(back)
  // One curl for all files: a config of upload-file and url pairs, sent over few connections.
  const names = fileNames(smallTree)
  const header = `header = "X-Auth-Token: ${token}"\n`
  const url = (name: string) =>
    `${storageUrl}/curl/${name.split('/').map(encodeURIComponent).join('/')}`
  const config = (name: string, text: string) => {
    const path = join(work, name)
    writeFileSync(path, header + text)
    return path
  }
  const uploads = names
    .map((name) => `upload-file = "${join(smallTree, name)}"\nurl = "${url(name)}"\n`)
    .join('')
  const common = ['--silent', '--show-error', '--fail', '--parallel', '--parallel-max', '8']
  await ok(
    t,
    run('curl', [...common, '--output', '/dev/null', '--config', config('up.curl', uploads)]),
  )
  const downloads = names
    .map((name) => `output = "${join(back, name)}"\nurl = "${url(name)}"\n`)
    .join('')
  await ok(t, run('curl', [...common, '--create-dirs', '--config', config('down.curl', downloads)]))
  t.equal(await difference(smallTree, back), '')

  const auth = ['--silent', '--show-error', '--fail', '--header', `X-Auth-Token: ${token}`]
  const bigUrl = `${storageUrl}/curl/big.bin`
  await ok(t, run('curl', [...auth, '--upload-file', big, bigUrl]))
  await ok(t, run('curl', [...auth, '--output', join(work, 'curl-big'), bigUrl]))
  t.equal(await md5Of(join(work, 'curl-big')), await md5Of(big))
  await ok(
    t,
    run('curl', [...auth, '--range', '1000000-1000099', '--output', join(work, 'part'), bigUrl]),
  )
  const { output } = await run('cmp', ['--bytes=100', join(work, 'part'), big, '0', '1000000'])
  t.equal(output, '', 'the range is that of the file')
  await stop(t, swiftlet)
})

t.test(
  'kill -9 in the middle of an upload: what was acknowledged is there',
  { timeout, skip: missing('swift') },
  async (t) => {
    const first = await startSwiftlet(t, up)
    // Unbuffered: the client names each file as soon as it knows, not when a buffer is full.
    const env = { ...(await swiftletEnv(data)), PYTHONUNBUFFERED: '1' }
    let linesSeen = 0
    const upload = run('swift', ['--retries', '0', 'upload', 'killed', '.'], {
      cwd: smallTree,
      env,
      onOutput: (text) => {
        linesSeen += text.split('\n').length - 1
      },
    })
    const { send } = await signIn(data)
    let rows = 0
    // On a busy machine the client may be far behind with its words.
    while (rows < SMALL_TREE_FILES / 5 || linesSeen < 10) {
      const response = await send('HEAD', '/killed')
      rows = Number(response.headers.get('x-container-object-count') ?? 0)
    }
    await first.end('SIGKILL')
    const { code: uploadCode, output } = await upload
    t.not(uploadCode, 0, 'the client notices')
    // The client names a file once its PUT was answered with 201.
    const names = new Set(fileNames(smallTree))
    const acknowledged = output.split('\n').filter((line) => names.has(line))
    t.ok(acknowledged.length > 0, `${acknowledged.length} acknowledged`)

    const second = await startSwiftlet(t, up)
    const session = await signIn(data)
    const listed = new Set(await listAll(session.send, 'killed'))
    for (const name of acknowledged) {
      if (!listed.has(name)) t.fail(`${name} is not listed`)
      const path = name.split('/').map(encodeURIComponent).join('/')
      const response = await session.send('HEAD', `/killed/${path}`)
      if (response.status !== 200) t.fail(`${name}: ${response.status}`)
      else if (response.headers.get('etag') !== (await md5Of(join(smallTree, name)))) {
        t.fail(`${name}: another ETag`)
      }
    }
    await ok(
      t,
      run('swift', ['upload', '--skip-identical', 'killed', '.'], { cwd: smallTree, env }),
    )
    // A file whose object was durable when the process died, but not its row, is found identical and not sent again: its
    // row was put in step before the second start served anybody.
    const back = join(work, 'killed-tree')
    await ok(t, run('swift', ['download', 'killed', '--output-dir', back], { cwd: work, env }))
    t.equal(await difference(smallTree, back), '', 'a second upload completes it')
    t.equal(fileNames(back).length, SMALL_TREE_FILES)
    await stop(t, second)
    const { code, stdout } = await runSwiftlet(['check', data])
    t.equal(code, 0, stdout)
  },
)

async function ok(t: Test, running: ReturnType<typeof run>): Promise<void> {
  const { code, output } = await running
  t.equal(code, 0, code === 0 ? 'done' : output)
}

async function stop(t: Test, swiftlet: Awaited<ReturnType<typeof startSwiftlet>>): Promise<void> {
  t.equal(await swiftlet.end('SIGTERM'), 0, 'stops cleanly')
  t.equal(swiftlet.stderr(), '', 'and had nothing to complain about')
}

async function listAll(
  send: (method: string, path: string) => Promise<Response>,
  container: string,
): Promise<readonly string[]> {
  const names: string[] = []
  for (;;) {
    const marker = encodeURIComponent(names.at(-1) ?? '')
    const page = await (await send('GET', `/${container}?marker=${marker}`)).text()
    if (page === '') return names
    names.push(...page.trimEnd().split('\n'))
  }
}
