/**
 * A cloud disk, from the account to its user: what Swift is used for. Files go up from a form in a real browser, are found
 * by folder, shared by links that end, kept within a quota, synchronised with a folder of a laptop, expire, and are shown
 * as a web site.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Browser, chromium, type Page } from 'playwright-core'
import t from 'tap'
import { missing, run } from '../support/client-tree.ts'
import {
  freePortOffset,
  runSwiftlet,
  signIn,
  startSwiftlet,
  swiftletEnv,
} from '../support/swiftlet-command.ts'

const work = t.testdir()
const data = join(work, 'data')
const KEY = 'the key of the disk'
const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync']
const WAIT_MS = 60_000

/** Asks again until it holds; the store's time passes by itself. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + WAIT_MS
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`never: ${what}`)
    await sleep(100)
  }
}

/** The application's own site: a page with the form, on another origin than the store. */
async function openSite(pages: Map<string, string>): Promise<{ origin: string; server: Server }> {
  const server = createServer((req, res) => {
    const page = pages.get(new URL(req.url!, 'http://site').pathname)
    res.writeHead(page === undefined ? 404 : 200, { 'Content-Type': 'text/html; charset=utf-8' })
    res.end(page)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

/** A form as the application's server makes it, with the words of `swiftlet form-signature`. */
async function signedForm(
  target: string,
  form: { readonly redirect: string; readonly seconds: number; readonly files: number },
): Promise<string> {
  const { pathname } = new URL(target)
  const { redirect, seconds, files } = form
  const args = ['form-signature', pathname, redirect, '1000000', String(files), String(seconds)]
  const { stdout } = await runSwiftlet([...args, '--key-stdin'], { input: KEY })
  const [, expires, signature] = /Expires: (\d+)\nSignature: (\w+)/.exec(stdout)!
  const fields = { redirect, max_file_size: 1_000_000, max_file_count: files, expires, signature }
  const inputs = Object.entries(fields).map(
    ([name, value]) => `<input type="hidden" name="${name}" value="${value}">`,
  )
  return `<form id="form" action="${target}" method="POST" enctype="multipart/form-data">
${inputs.join('\n')}
<input id="files" name="files" type="file" multiple><input id="send" type="submit"></form>`
}

/** Sends the form by a script, as an application does that stays on its page. */
const SCRIPTED = `<script>
document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const form = event.target
  try {
    const answer = await fetch(form.action, { method: 'POST', body: new FormData(form) })
    document.title = answer.status + ' ' + (await answer.text())
  } catch (error) { document.title = 'failed: ' + error }
})
</script>`

async function upload(page: Page, url: string, files: readonly { name: string; text: string }[]) {
  await page.goto(url)
  const payload = files.map(({ name, text }) => ({
    name,
    mimeType: 'text/plain',
    buffer: Buffer.from(text),
  }))
  await page.setInputFiles('#files', payload)
  await page.click('#send')
}

t.test(
  'a cloud disk from the account to its user',
  { timeout: 600_000, skip: missing('swift') || missing('rclone') || missing('chromium') },
  async (t) => {
    await startSwiftlet(t, ['up', '--data', data, ...(await freePortOffset())])
    const added = await runSwiftlet([
      'user',
      'add',
      'ada:ada',
      '--key',
      'secret',
      '--group',
      '.admin',
      '--data',
      data,
    ])
    t.equal(added.code, 0)
    const { ST_AUTH } = await swiftletEnv(data)
    let session = { token: '', storageUrl: '' }
    await until('the user is known', async () => {
      const found = await signIn(data, { name: 'ada:ada', key: 'secret' }).catch(() => null)
      if (found !== null) session = found
      return found !== null
    })
    const { token, storageUrl } = session
    const env = { ST_AUTH: ST_AUTH!, ST_USER: 'ada:ada', ST_KEY: 'secret' }
    const swift = async (...args: string[]) => {
      const { code, output } = await run('swift', args, { env, cwd: work })
      t.equal(code, 0, `swift ${args.join(' ')}\n${output}`)
      return output
    }
    const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
      fetch(storageUrl + path, { method, headers: { 'X-Auth-Token': token, ...headers } })
    const disk = `${storageUrl}/disk`

    const pages = new Map<string, string>([['/done', '<title>done</title>']])
    const site = await openSite(pages)
    t.teardown(() => site.server.close())
    const browser: Browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: CHROMIUM_FLAGS,
    })
    t.teardown(() => browser.close())
    const page = await browser.newPage()

    await t.test('its container lets the application of its origin in, by a key', async () => {
      await swift(
        'post',
        'disk',
        '-m',
        `Temp-URL-Key:${KEY}`,
        '-m',
        `Access-Control-Allow-Origin:${site.origin}`,
      )
    })

    await t.test('files go up from a form, and the browser goes on', async (t) => {
      const form = { redirect: `${site.origin}/done`, seconds: 600, files: 2 }
      pages.set('/upload', await signedForm(`${disk}/notes/`, form))
      await upload(page, `${site.origin}/upload`, [
        { name: 'monday.txt', text: 'rain' },
        { name: 'ünï & cöde.txt', text: 'sun' },
      ])
      await page.waitForURL(/\/done\?status=201&message=$/)
      const rain = await ask('GET', '/disk/notes/monday.txt')
      t.equal(await rain.text(), 'rain')
      t.equal(rain.headers.get('content-type'), 'text/plain')
      t.equal(
        await (await ask('GET', `/disk/notes/${encodeURIComponent('ünï & cöde.txt')}`)).text(),
        'sun',
      )
    })

    await t.test(
      'a script sends it too, and reads the answer, from the allowed origin only',
      async (t) => {
        const form = await signedForm(`${disk}/script/`, { redirect: '', seconds: 600, files: 1 })
        pages.set('/script', form + SCRIPTED)
        await upload(page, `${site.origin}/script`, [{ name: 'a.txt', text: 'by a script' }])
        await page.waitForFunction("document.title !== ''")
        t.equal(await page.title(), '201 201 Created')
        const stranger = await openSite(pages)
        t.teardown(() => stranger.server.close())
        await upload(page, `${stranger.origin}/script`, [{ name: 'b.txt', text: 'from elsewhere' }])
        await page.waitForFunction("document.title !== ''")
        t.match(await page.title(), /^failed: TypeError/, 'its answer is kept from the script')
      },
    )

    await t.test('folders are what stands before a slash', async (t) => {
      const list = async (query: string) => (await ask('GET', `/disk?${query}`)).text()
      t.equal(await list('delimiter=/'), 'notes/\nscript/\n')
      t.equal(await list('delimiter=/&prefix=notes/'), 'notes/monday.txt\nnotes/ünï & cöde.txt\n')
    })

    await t.test('a link that is shared opens for everybody, and ends', async (t) => {
      const { origin, pathname } = new URL(`${disk}/notes/monday.txt`)
      const link = async (seconds: string) =>
        origin +
        (await swift('tempurl', '--digest', 'sha256', 'GET', seconds, pathname, KEY)).trim()
      const shared = await fetch(await link('600'))
      t.equal(await shared.text(), 'rain')
      t.match(shared.headers.get('content-disposition'), 'attachment; filename="monday.txt"')
      await page.goto(`${await link('600')}&inline`)
      t.equal(await page.locator('body').textContent(), 'rain')
      const short = await link('2')
      await until('the link ends', async () => (await fetch(short)).status === 401)
    })

    await t.test('a full disk takes no more', async (t) => {
      await swift('post', 'disk', '-m', 'Quota-Bytes:40')
      await upload(page, `${site.origin}/script`, [{ name: 'big.txt', text: 'x'.repeat(1000) }])
      await page.waitForFunction("document.title !== ''")
      t.equal(await page.title(), '413 Upload exceeds quota.')
      await swift('post', 'disk', '-m', 'Quota-Bytes:')
    })

    await t.test('an old version comes back', { skip: !(await hasVersions()) }, async (t) => {
      const versioned = { 'X-Versions-Enabled': 'true' }
      t.equal((await ask('POST', '/disk', versioned)).status, 204)
      const put = (text: string) =>
        fetch(`${disk}/report.txt`, {
          method: 'PUT',
          body: text,
          headers: { 'X-Auth-Token': token },
        })
      const first = (await put('first draft')).headers.get('x-object-version-id')!
      await put('overwritten by mistake')
      t.equal((await ask('PUT', `/disk/report.txt?version-id=${first}`)).status, 201)
      t.equal(await (await ask('GET', '/disk/report.txt')).text(), 'first draft')
      t.equal((await ask('POST', '/disk', { 'X-Versions-Enabled': 'false' })).status, 204)
    })

    async function hasVersions(): Promise<boolean> {
      const info = (await (await fetch(`${new URL(storageUrl).origin}/info`)).json()) as object
      return 'object_versioning' in info
    }

    await t.test('what was thrown away is gone when its time has come', async (t) => {
      const trash = await ask('POST', '/disk/script/a.txt', { 'X-Delete-After': '2' })
      t.equal(trash.status, 202)
      await until(
        'it expires',
        async () => (await ask('HEAD', '/disk/script/a.txt')).status === 404,
      )
      await until(
        'it is not listed',
        async () => !(await (await ask('GET', '/disk')).text()).includes('script/a.txt'),
      )
    })

    await t.test('a folder of a laptop and one of the disk stay the same', async (t) => {
      const folder = join(work, 'laptop')
      mkdirSync(folder)
      writeFileSync(join(folder, 'here.txt'), 'from the laptop')
      await swift('post', 'sync')
      const rclone = async (...args: string[]) => {
        const { code, output } = await run('rclone', args, {
          env: {
            RCLONE_CONFIG: '/dev/null',
            RCLONE_CACHE_DIR: join(work, 'rclone-cache'),
            RCLONE_CONFIG_DISK_TYPE: 'swift',
            RCLONE_CONFIG_DISK_AUTH: env.ST_AUTH,
            RCLONE_CONFIG_DISK_AUTH_VERSION: '1',
            RCLONE_CONFIG_DISK_USER: env.ST_USER,
            RCLONE_CONFIG_DISK_KEY: env.ST_KEY,
          },
        })
        t.equal(code, 0, `rclone ${args.join(' ')}\n${output}`)
      }
      const bisync = (...more: string[]) =>
        rclone('bisync', folder, 'disk:sync', '--workdir', join(work, 'bisync'), ...more)
      await bisync('--resync')
      t.equal(await (await ask('GET', '/sync/here.txt')).text(), 'from the laptop')
      writeFileSync(join(folder, 'more.txt'), 'more')
      const there = { 'X-Auth-Token': token }
      await fetch(`${storageUrl}/sync/there.txt`, {
        method: 'PUT',
        body: 'from the web',
        headers: there,
      })
      await bisync()
      t.equal(readFileSync(join(folder, 'there.txt'), 'utf8'), 'from the web')
      t.equal(await (await ask('GET', '/sync/more.txt')).text(), 'more')
    })

    await t.test('a folder of it is a web site', async (t) => {
      await fetch(`${storageUrl}/web`, { method: 'PUT', headers: { 'X-Auth-Token': token } })
      await swift(
        'post',
        'web',
        '-r',
        '.r:*,.rlistings',
        '-m',
        'web-index:index.html',
        '-m',
        'web-listings:true',
        '-m',
        'web-error:error.html',
      )
      const put = (name: string, body: string, type = 'text/html; charset=utf-8') =>
        fetch(`${storageUrl}/web/${name}`, {
          method: 'PUT',
          body,
          headers: { 'X-Auth-Token': token, 'Content-Type': type },
        })
      await put('index.html', '<title>home</title><a id="link" href="pictures/">pictures</a>')
      await put('pictures/%3Cb%3Esun.txt', 'the sun', 'text/plain')
      await put('404error.html', '<title>not here</title>')
      await page.goto(`${storageUrl}/web`)
      t.equal(await page.title(), 'home')
      await page.click('#link')
      await page.waitForSelector('#listing')
      t.equal(await page.locator('b').count(), 0, 'a name is no HTML')
      await page.click('text=<b>sun.txt')
      await page.waitForURL(/sun/)
      t.equal(await page.locator('body').textContent(), 'the sun')
      await page.goto(`${storageUrl}/web/nothing`)
      t.equal(await page.title(), 'not here')
    })

    await t.test('and it is emptied at once', async (t) => {
      if (await hasVersions()) await swift('delete', '--versions', 'disk')
      else await swift('delete', 'disk')
      for (const name of ['sync', 'web']) await swift('delete', name)
      const left = await (await ask('GET', '')).text()
      t.notMatch(left, /^(disk|sync|web)$/m)
    })
  },
)
