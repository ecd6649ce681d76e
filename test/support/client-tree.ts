/** A tree of real files to upload, programs to upload it with, and how to compare what came back. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  copyFileSync,
  createReadStream,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE_MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url))

/** True for the long form: SWIFTLET_LONG=1. */
export const isLong = process.env.SWIFTLET_LONG === '1'

/** Files of a tree as large as the ones that people have. */
export const TREE_FILES = 5000
/** Files of a tree where the client, not the number, is the point; the same in the long form. */
export const SMALL_TREE_FILES = isLong ? TREE_FILES : 1000
const MIB = 1024 * 1024
const FILE_BYTES_MAX = 256 * 1024

/** Why the program's tests are skipped, or false. */
export function missing(program: string): string | false {
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore' })
  return error === undefined ? false : `${program} is not installed`
}

/** Copies files of node_modules with their folders, in order of their names, until there are `count`. */
export function makeTree(folder: string, count: number): void {
  let copied = 0
  for (const name of fileNames(NODE_MODULES)) {
    const source = join(NODE_MODULES, name)
    // Of the largest ones, compilers, a few would be most of the bytes.
    if (name.startsWith('.') || statSync(source).size > FILE_BYTES_MAX) continue
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    copyFileSync(source, join(folder, name))
    copied++
    if (copied === count) return
  }
  throw new Error(`only ${copied} files below ${NODE_MODULES}`)
}

/** The regular files below a folder, with their path in it; sorted. */
export function fileNames(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

/** Writes a file of pseudo-random bytes: 64 MiB, 1 GiB in the long form. */
export function makeBigFile(path: string): void {
  const file = openSync(path, 'w')
  let block = createHash('sha512').update(path).digest()
  for (let mib = 0; mib < (isLong ? 1024 : 64); mib++) {
    block = createHash('sha512').update(block).digest()
    // Every MiB is another, and none compresses below one block.
    writeSync(file, Buffer.alloc(MIB, block))
  }
  closeSync(file)
}

export interface Run {
  readonly code: number | null
  readonly output: string
}

/** Runs a program to its end; of the output the last MiB is kept. */
export async function run(
  program: string,
  args: readonly string[],
  options: {
    readonly cwd?: string
    readonly env?: Readonly<Record<string, string>>
    /** Told of each piece as it comes. */
    readonly onOutput?: (text: string) => void
  } = {},
): Promise<Run> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  })
  let output = ''
  const keep = (piece: Buffer) => {
    const text = piece.toString()
    output = (output + text).slice(-MIB)
    options.onOutput?.(text)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  await once(child, 'close')
  return { code: child.exitCode, output }
}

/** What `diff -r` says; empty if both trees are the same. */
export async function difference(one: string, other: string): Promise<string> {
  const { code, output } = await run('diff', ['-r', '--brief', one, other])
  return code === 0 ? '' : output || `diff ended with ${code}`
}

/** Hex MD5 of a file. */
export async function md5Of(path: string): Promise<string> {
  const hash = createHash('md5')
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
  return hash.digest('hex')
}
