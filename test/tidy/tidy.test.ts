/**
 * The repository checks itself: who may import whom, where time, randomness and files may be touched, names, and what
 * must never be committed. The rules are the tables below; a rule that is in the way is changed here, in the open.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** Folders of code and what each may import besides itself; tests beside the code may import anything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | 'anything'>> = {
  common: [],
  'ring-builder': ['common'],
  auth: ['common'],
  'storage-node': ['common'],
  proxy: ['common'],
  'compute-lite': ['common'],
  dashboard: ['common'],
  bin: ['common', 'ring-builder', 'auth', 'storage-node', 'proxy', 'bench'],
  bench: 'anything',
  test: 'anything',
}

/** Logic that a simulation runs with its own time, randomness and disk. */
const DETERMINISTIC_FOLDERS = [
  'storage-node/',
  'proxy/backend/',
  'common/',
  'ring-builder/movement/',
]

const NONDETERMINISM: readonly { readonly name: string; readonly pattern: RegExp }[] = [
  { name: 'Date.now', pattern: /\bDate\.now\(/ },
  { name: 'new Date()', pattern: /\bnew Date\(\)/ },
  { name: 'Math.random', pattern: /\bMath\.random\(/ },
  { name: 'performance.now', pattern: /\bperformance\.now\(/ },
  { name: 'setTimeout', pattern: /\bset(Timeout|Interval)\(/ },
  { name: 'node:fs', pattern: /from 'node:fs(\/promises)?'/ },
  { name: 'node:crypto randomness', pattern: /\brandom(Bytes|UUID|Fill|FillSync|Int)\b/ },
]

/** The adapters behind which the machine is, and the entries of processes, which pick them. */
const ADAPTERS = [
  'common/clock.ts',
  'common/node-disk.ts',
  'common/random.ts',
  'common/whole-file.ts',
  'storage-node/engine/level-store.ts',
]

/** Files above it are asked for their reason in review; a long table or state machine may stay whole. */
const LINES_WANTED_MAX = 450

const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'data', 'results'])

const files = listFiles('')
const code = files.filter((file) => file.endsWith('.ts'))
const texts = new Map(
  files.filter(isText).map((file) => [file, readFileSync(join(root, file), 'utf8')]),
)

t.test('every folder of code imports only what the table allows', async (t) => {
  const wrong: string[] = []
  for (const file of code) {
    const folder = file.split('/')[0]!
    const allowed = MAY_IMPORT[folder]
    if (allowed === undefined) wrong.push(`${file}: its folder is not in the table`)
    if (allowed === undefined || allowed === 'anything' || file.endsWith('.test.ts')) continue
    for (const target of relativeImports(file)) {
      const targetFolder = target.split('/')[0]!
      if (targetFolder !== folder && !allowed.includes(targetFolder)) {
        wrong.push(`${file} imports ${target}`)
      }
    }
  }
  t.strictSame(wrong, [])
  t.ok(code.length > 50, 'and there is code to judge')
})

t.test('imports name files that are there, with their extension', async (t) => {
  const wrong = code.flatMap((file) =>
    relativeImports(file)
      .filter((target) => !existsSync(join(root, target)))
      .map((target) => `${file} imports ${target}`),
  )
  t.strictSame(wrong, [])
})

t.test('time, randomness and files reach the logic only through their adapters', async (t) => {
  const wrong: string[] = []
  for (const file of code) {
    const logic = DETERMINISTIC_FOLDERS.some((folder) => file.startsWith(folder))
    if (!logic || file.endsWith('.test.ts') || ADAPTERS.includes(file)) continue
    for (const { name, pattern } of NONDETERMINISM) {
      if (pattern.test(withoutComments(file))) wrong.push(`${file}: ${name}`)
    }
  }
  t.strictSame(wrong, [])
  t.strictSame(
    ADAPTERS.filter((file) => !existsSync(join(root, file))),
    [],
    'and the list of adapters has none that is gone',
  )
})

t.test('names are in kebab-case and say what is in the file', async (t) => {
  const wrong = code.filter((file) => {
    const name = file.split('/').at(-1)!
    return (
      !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name) ||
      /^(utils?|index|helpers?|misc)\.ts$/.test(name)
    )
  })
  t.strictSame(wrong, [])
})

t.test('nothing is left to be done in comments, and no export is nameless', async (t) => {
  const marks = /^\s*(?:\/\/|\/?\*).*\b(?:TODO|FIXME|XXX)\b/m
  const wrong = code.flatMap((file) => {
    const text = texts.get(file)!
    return [
      ...(marks.test(text) ? [`${file}: a note of something to do`] : []),
      ...(/^export default /m.test(text) ? [`${file}: a default export`] : []),
    ]
  })
  t.strictSame(wrong, [])
})

t.test("no text names one machine's folders", async (t) => {
  const places = new RegExp(['/wo', 'rk/|/ro', 'ot/|/ho', 'me/[a-z]'].join(''))
  const wrong = [...texts].filter(([, text]) => places.test(text)).map(([file]) => file)
  t.strictSame(wrong, [])
})

t.test('the map of folders in README.md is the truth', async (t) => {
  const readme = texts.get('README.md') ?? ''
  const named = [...readme.matchAll(/^\| \[?`?([a-z-]+)\/`?/gm)].map((match) => match[1]!)
  t.ok(named.length >= Object.keys(MAY_IMPORT).length, `${named.length} folders in the map`)
  t.strictSame(
    named.filter((folder) => !existsSync(join(root, folder))),
    [],
    'every folder named is there',
  )
  t.strictSame(
    Object.keys(MAY_IMPORT).filter((folder) => !named.includes(folder)),
    [],
    'every folder of code is named',
  )
})

t.test('links between documents lead somewhere', async (t) => {
  const wrong: string[] = []
  for (const [file, text] of texts) {
    if (!file.endsWith('.md')) continue
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)) {
      if (!existsSync(join(root, dirname(file), target!))) wrong.push(`${file}: ${target}`)
    }
  }
  t.strictSame(wrong, [])
})

t.test('files stay short', async (t) => {
  for (const file of code) {
    const lines = texts.get(file)!.split('\n').length
    if (lines > LINES_WANTED_MAX) t.comment(`${file} has ${lines} lines`)
  }
})

function listFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (SKIPPED_FOLDERS.has(entry.name)) return []
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    // Of the hidden folders only the one of CI is ours.
    if (entry.isDirectory()) return /^\.(?!ci$)/.test(entry.name) ? [] : listFiles(path)
    return entry.isFile() ? [path] : []
  })
}

function isText(file: string): boolean {
  return (
    /\.(ts|cjs|js|md|json|sh|svg|c|yml)$/.test(file) || /^(\.ci\/run|LICENSE|NOTICE)$/.test(file)
  )
}

function relativeImports(file: string): string[] {
  const imports = texts.get(file)!.matchAll(/(?:from|import|import\()\s*'(\.{1,2}\/[^']+)'/g)
  return Array.from(imports, (match) => normalize(join(dirname(file), match[1]!))).map((path) =>
    relative('.', path),
  )
}

function withoutComments(file: string): string {
  return texts.get(file)!.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
}
