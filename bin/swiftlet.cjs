#!/usr/bin/env node
// biome-ignore-all lint/style/useNodejsImportProtocol: an old Node has to get as far as the version check.
'use strict'
/*
 * The way in: the one file that needs nothing installed and nothing built. It installs the dependencies if they are
 * missing or not those of package-lock.json, builds dist/ if a source has changed, and hands over to bin/main.ts.
 * Plain JavaScript that an old Node can still read, so that the version check is what it sees first. CommonJS,
 * because libuv sizes its thread pool at the first use, and the loader of ES modules would use it before us.
 */
const { spawn } = require('child_process')
const { createHash } = require('crypto')
const fs = require('fs')
const path = require('path')
const { pathToFileURL } = require('url')

const NODE_WANTED = [20, 17]
const root = path.resolve(__dirname, '..')
const dist = path.join(root, 'dist')
const workFolder = path.join(root, '.swiftlet')

/** fdatasync, open and read of many disks wait in this pool: Node's four threads would be the whole store's limit. */
if (!process.env.UV_THREADPOOL_SIZE) process.env.UV_THREADPOOL_SIZE = '16'

checkNodeVersion()
main().catch((error) => {
  process.stderr.write(`swiftlet: ${error.message}\n`)
  process.exit(1)
})

async function main() {
  if (isCheckout() && !(isInstalled() && isBuilt())) await prepare()
  process.setSourceMapsEnabled(true)
  await import(pathToFileURL(path.join(dist, 'bin', 'main.js')).href)
}

function checkNodeVersion() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_WANTED[0] || (major === NODE_WANTED[0] && minor >= NODE_WANTED[1])) return
  process.stderr.write(
    `swiftlet: needs Node.js ${NODE_WANTED.join('.')} or newer, this is ${process.versions.node} (${process.execPath})\n`,
  )
  process.exit(1)
}

/** A packed copy has dist/ and its dependencies; only a checkout can be behind its sources. */
function isCheckout() {
  return fs.existsSync(path.join(root, 'tsconfig.build.json'))
}

/** One process at a time installs and builds; the others wait and find the work done. */
async function prepare() {
  const unlock = await lock()
  try {
    if (!isInstalled()) await install()
    if (!isBuilt()) await build()
  } finally {
    unlock()
  }
}

// ---- install

/** Whether every package of the lock file that belongs on this platform is there in its version. */
function isInstalled() {
  const wanted = readJson(path.join(root, 'package-lock.json'))
  const found = readJson(path.join(root, 'node_modules', '.package-lock.json'))
  if (wanted === null) throw new Error('package-lock.json is missing or damaged')
  if (found === null) return false
  return Object.keys(wanted.packages).every((name) => {
    const [want, have] = [wanted.packages[name], found.packages[name]]
    if (name === '') return true
    return have === undefined ? want.optional === true : have.version === want.version
  })
}

async function install() {
  const stop = progress('Installing the dependencies (npm ci, only needed once)')
  // npm start runs inside npm: its own client is the one that is sure to be there.
  const client = process.env.npm_execpath
  const byScript = client !== undefined && /npm-cli\.js$/.test(client)
  const command = byScript ? process.execPath : 'npm'
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  try {
    await run(command, byScript ? [client].concat(args) : args)
  } catch (error) {
    throw new Error(`npm ci failed: ${error.message}`)
  } finally {
    stop()
  }
}

// ---- build

function isBuilt() {
  try {
    return fs.readFileSync(path.join(dist, '.sources'), 'utf8') === sourcesHash()
  } catch {
    return false
  }
}

/** Emits without type checking, which is the work of `npm run typecheck` and of CI. */
async function build() {
  const stop = progress('Building dist')
  const hash = sourcesHash()
  const target = path.join(workFolder, `build-${process.pid}`)
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  try {
    await run(process.execPath, [
      compiler,
      '--project',
      'tsconfig.build.json',
      '--noCheck',
      '--outDir',
      target,
    ])
    fs.writeFileSync(path.join(target, '.sources'), hash)
    // A running Swiftlet has loaded what it needs; a half-written dist/ is never seen by the next.
    const old = path.join(workFolder, `old-${process.pid}`)
    if (fs.existsSync(dist)) fs.renameSync(dist, old)
    fs.renameSync(target, dist)
    fs.rmSync(old, { recursive: true, force: true })
  } catch (error) {
    fs.rmSync(target, { recursive: true, force: true })
    throw new Error(`the build failed: ${error.message}`)
  } finally {
    stop()
  }
}

/** Over names and contents, not times: a fresh clone, a copy and a switched branch are all judged rightly. */
function sourcesHash() {
  const hash = createHash('sha256')
  const { include } = readJson(path.join(root, 'tsconfig.json'))
  const files = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json']
  for (const folder of include) listSources(folder, files)
  for (const file of files) {
    hash.update(`${file}\0`)
    hash.update(fs.readFileSync(path.join(root, file)))
  }
  return hash.digest('hex')
}

function listSources(folder, files) {
  let entries
  try {
    entries = fs.readdirSync(path.join(root, folder), { withFileTypes: true })
  } catch {
    return
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const entry of entries) {
    const file = `${folder}/${entry.name}`
    if (entry.isDirectory()) listSources(file, files)
    else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts')) files.push(file)
  }
}

// ---- helpers

/** A lock file that names its holder; a holder that is gone has lost it. Returns what unlocks. */
async function lock() {
  fs.mkdirSync(workFolder, { recursive: true })
  const file = path.join(workFolder, 'bootstrap.lock')
  for (;;) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => fs.rmSync(file, { force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    if (!holderRuns(file)) fs.rmSync(file, { force: true })
    else await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

function holderRuns(file) {
  try {
    const pid = Number(fs.readFileSync(file, 'utf8'))
    // Between creation and writing the file is empty for a moment.
    if (pid === 0) return Date.now() - fs.statSync(file).mtimeMs < 5000
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Says what is going on, with the seconds it has taken where somebody watches. Returns what ends it. */
function progress(what) {
  const started = Date.now()
  const seconds = () => ((Date.now() - started) / 1000).toFixed(0)
  if (!process.stderr.isTTY) {
    process.stderr.write(`${what} …\n`)
    return () => {}
  }
  const draw = () => process.stderr.write(`\r${what} … ${seconds()} s `)
  draw()
  const timer = setInterval(draw, 1000)
  return () => {
    clearInterval(timer)
    process.stderr.write(`\r${what} … ${seconds()} s \n`)
  }
}

/** Runs a program in the project's folder; if it fails, the error has the end of what it said. */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (bytes) => {
      output = (output + bytes).slice(-20000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${signal === null ? `exit code ${code}` : signal}\n${output.trim()}`))
    })
  })
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}
