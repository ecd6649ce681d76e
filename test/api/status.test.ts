/** `swiftlet status` and the status page over real processes: who may see them, and what they show when a node is killed. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import t, { type Test } from 'tap'
import type { ClusterStatus } from '../../proxy/status/cluster-status.ts'
import {
  freePortOffset,
  runSwiftlet,
  signIn,
  startStorageNode,
  startSwiftlet,
} from '../support/swiftlet-command.ts'

const RULES = fileURLToPath(new URL('../../contrib/prometheus-rules.yml', import.meta.url))
const ALERTS = fileURLToPath(new URL('../../docs/alerts.md', import.meta.url))
const CHROMIUM = '/usr/bin/chromium'
const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

async function statusOf(data: string): Promise<ClusterStatus> {
  const { code, stdout, stderr } = await runSwiftlet(['status', '--data', data, '--json'])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as ClusterStatus
}

t.test(
  'a cluster: before and after a node was killed, in the terminal and the browser',
  async (t) => {
    const data = join(t.testdir(), 'cluster')
    const cluster = await startSwiftlet(t, ['cluster', '--data', data, ...(await freePortOffset())])
    const well = await statusOf(data)
    t.match(well, { health: 'well', findings: [] })
    const nodes = well.regions.flatMap(({ zones }) => zones.flatMap((zone) => zone.nodes))
    t.strictSame(
      nodes.map(({ unreachable, devices }) => [unreachable, devices[0]?.status?.state]),
      Array(3).fill(['', 'online']),
    )

    await t.test('every metric that an alert asks for is there', async (t) => {
      const config = await readFile(join(data, 'nodes/node1/storage-node.json'), 'utf8')
      const { port } = JSON.parse(config) as { port: number }
      const origins = [cluster.origin, `http://127.0.0.1:${port}`]
      const pages = origins.map(async (origin) => (await fetch(`${origin}/metrics`)).text())
      await checkAlerts(t, (await Promise.all(pages)).join('\n'))
    })

    const pid = Number(/^node2: process (\d+)$/m.exec(cluster.stdout())![1])
    process.kill(pid, 'SIGKILL')
    const { code, stdout } = await runSwiftlet(['status', '--data', data])
    t.equal(code, 0, 'degraded is not refused')
    t.match(stdout, /^cluster {2}degraded/)
    t.match(stdout, /unreachable: connect ECONNREFUSED/)
    t.match(stdout, /^object +\d+ +(\d+) +3 +\1 +0 +0$/m)

    const page = await fetch(`${cluster.origin}/status`)
    t.equal(page.status, 200)
    t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
    t.match(await page.text(), /<title>Swiftlet: degraded<\/title>/)
    await t.test(
      'in a browser',
      { skip: existsSync(CHROMIUM) ? false : 'needs Debian’s chromium' },
      (t) => look(t, `${cluster.origin}/status`),
    )
  },
)

t.test('an empty disk in the rings does not vote before it has learned', async (t) => {
  const data = join(t.testdir(), 'cluster')
  const cluster = await startSwiftlet(t, ['cluster', '--data', data, ...(await freePortOffset())])
  const session = await signIn(data)
  t.equal((await session.send('PUT', '/c')).status, 201)
  t.equal((await session.send('PUT', '/c/o', 'before')).status, 201)
  process.kill(Number(/^node2: process (\d+)$/m.exec(cluster.stdout())![1]), 'SIGKILL')
  const folder = join(data, 'nodes/node2')
  const looksReplaced = async () => {
    const status = await statusOf(data)
    t.match(status, { health: 'degraded', rings: [{ refusing: 0 }, { refusing: 0 }, {}] })
    const notes = status.findings.map(({ text }) => text)
    t.ok(notes.some((text) => /^does not vote yet: learns from its replicas/.test(text)))
  }
  const replace = (...names: string[]) => {
    for (const name of names) rmSync(join(folder, name), { recursive: true })
    mkdirSync(join(folder, 'disk1'))
  }
  replace('disk1')
  const end = await startStorageNode(t, join(folder, 'storage-node.json'))
  await looksReplaced()
  await end()
  // Without its rings it could not know: it has to be told.
  replace('disk1', 'rings')
  const endAgain = await startStorageNode(t, join(folder, 'storage-node.json'), [
    '--replaced-disks',
  ])
  await looksReplaced()
  t.equal(await (await session.send('GET', '/c/o')).text(), 'before')
  t.equal((await session.send('PUT', '/c/o', 'after')).status, 201, 'the others are enough')
  await endAgain()
  t.equal(await cluster.end('SIGTERM'), 0)
})

/** The rules for Prometheus, the document on them, and what a running store shows, are of one mind. */
async function checkAlerts(t: Test, metrics: string): Promise<void> {
  const rules = await readFile(RULES, 'utf8')
  const shown = new Set(Array.from(metrics.matchAll(/^# TYPE (\w+) /gm), ([, name]) => name!))
  const expressions = Array.from(rules.matchAll(/^ +expr: (.*)$/gm), ([, text]) => text!)
  t.ok(expressions.length > 10)
  const asked = expressions.flatMap((text) => text.match(/\b(?:swiftlet|nodejs)_\w+/g) ?? [])
  const missing = asked.filter((name) => !shown.has(name.replace(/_(bucket|sum|count)$/, '')))
  t.strictSame(missing, [], 'nothing asks for a metric that is not there')

  const doc = await readFile(ALERTS, 'utf8')
  const names = Array.from(rules.matchAll(/^ +- alert: (\w+)$/gm), ([, name]) => name!)
  const documented = Array.from(doc.matchAll(/^## (Swiftlet\w+)$/gm), ([, name]) => name!)
  t.strictSame(documented, names, 'each alert has its page')
  const queries = Array.from(doc.matchAll(/^```promql\n(.*)\n```$/gm), ([, text]) => text!)
  t.strictSame(
    queries,
    expressions.map((text) => text.replace(/^'(.*)'$/, '$1')),
  )
  const checked = spawnSync('promtool', ['check', 'rules', RULES], { encoding: 'utf8' })
  if (checked.error !== undefined) t.comment('promtool is not installed: its check is skipped')
  else t.equal(checked.status, 0, checked.stderr)
}

/** Light and dark, wide and narrow: it fits, and the browser has nothing to complain about. */
async function look(t: Test, url: string): Promise<void> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS })
  t.teardown(() => browser.close())
  const views = [
    await view(browser, url, { width: 1280, colorScheme: 'light' }),
    await view(browser, url, { width: 1280, colorScheme: 'dark' }),
    await view(browser, url, { width: 390, colorScheme: 'dark' }),
  ]
  for (const { complaints, overflow, boxes, barWidth } of views) {
    t.strictSame(complaints, [])
    t.equal(overflow, 0, 'nothing sticks out')
    t.equal(boxes, 3, 'a box for each zone')
    t.ok(barWidth > 0, 'bars are drawn')
  }
  t.not(views[0]!.background, views[1]!.background, 'dark is another page')
}

async function view(
  browser: Browser,
  url: string,
  options: { readonly width: number; readonly colorScheme: 'light' | 'dark' },
) {
  const { width, colorScheme } = options
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('requestfailed', (request) => complaints.push(request.url()))
  await page.goto(url)
  // Runs in the page, whose globals this program has no types for.
  const seen = (await page.evaluate(`({
    overflow: document.documentElement.scrollWidth - innerWidth,
    boxes: document.querySelectorAll('section.box').length,
    barWidth: document.querySelector('rect.fill').getBoundingClientRect().width,
    background: getComputedStyle(document.body).backgroundColor,
  })`)) as { overflow: number; boxes: number; barWidth: number; background: string }
  await context.close()
  return { ...seen, complaints }
}

t.test('up: only operators see it, and all threads are in it', async (t) => {
  const data = join(t.testdir(), 'data')
  const up = ['--data', data, '--threads', '2', ...(await freePortOffset())]
  const { origin } = await startSwiftlet(t, up)
  const admin = await signIn(data)
  await admin.send('PUT', '/c')
  // Enough names for both shards of the disk, each of which another thread has.
  for (let index = 0; index < 20; index++) await admin.send('PUT', `/c/o${index}`, 'x')
  const [device] = (await statusOf(data)).regions[0]!.zones[0]!.nodes[0]!.devices
  t.match(device, { name: 'disk1', status: { state: 'online', segments: 2 } })

  const statusFor = async (headers: Record<string, string>, path = '/status.json') =>
    (await fetch(`${origin}${path}`, { headers })).status
  t.equal(await statusFor({}), 200, 'from this machine')
  t.equal(await statusFor({}, '/status'), 200)
  for (const name of ['X-Forwarded-For', 'Forwarded', 'Via']) {
    t.equal(await statusFor({ [name]: '192.0.2.7' }), 401, `${name}: for somebody else`)
  }
  const from = { 'X-Forwarded-For': '192.0.2.7' }
  t.equal(await statusFor({ ...from, 'X-Auth-Token': admin.token }), 200)
  t.equal(await statusFor({ ...from, 'X-Auth-Token': 'AUTH_tk_nobody' }), 401)
  t.match(await runSwiftlet(['user', 'add', 'shop:clerk', '--key', 'k', '--data', data]), {
    code: 0,
  })
  const clerk = await untilSignedIn(data, { name: 'shop:clerk', key: 'k' })
  t.equal(await statusFor({ 'X-Auth-Token': clerk }), 403, 'a user who is no operator')
  t.equal((await fetch(`${origin}/status`, { method: 'POST' })).status, 405)
  t.match(await runSwiftlet(['status', '--data', join(data, 'none')]), {
    code: 1,
    stderr: /no Swiftlet was started here yet/,
  })
})

/** A new user is known within two seconds. */
async function untilSignedIn(
  data: string,
  user: { readonly name: string; readonly key: string },
): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return (await signIn(data, user)).token
    } catch (error) {
      if (tries === 100) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
