/** What is known of an upstream suite's tests: which fail or are left out, and why. Pure. */
import { isBad, type TestOutcome } from './outcomes.ts'

/** What stands under one heading of the list. */
interface KnownKind {
  readonly reason: string
  /** Known to be skipped, not to fail. */
  readonly isSkip: boolean
  /** In which configurations of the suite; in all if absent. */
  readonly configurations?: readonly string[]
}

export interface KnownResult extends KnownKind {
  /** A test's name; `*` stands for any characters. */
  readonly test: string
}

/** `## skipped in v1, replicas: of identity v3`. */
const HEADING = /^(?:(skipped)(?: in ([\w, -]+))?|in ([\w, -]+)): (.*)$/

/**
 * Reads a list: headings `## why` with one test a line below. `## skipped: why` is about tests that are skipped,
 * `## in v3: why` and `## skipped in v1, v3: why` about some configurations only. What stands before the first heading is
 * for its reader. Throws where one line stands in it twice for the same.
 */
export function parseKnown(text: string): readonly KnownResult[] {
  const known: KnownResult[] = []
  const seen = new Set<string>()
  let kind: KnownKind | undefined
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    if (line.startsWith('## ')) kind = kindOf(line.slice(3))
    else if (kind !== undefined && line !== '') {
      const key = [line, kind.isSkip, kind.configurations].join(' ')
      if (seen.has(key)) throw new Error(`${line} stands twice in the list of known results`)
      seen.add(key)
      known.push({ test: line, ...kind })
    }
  }
  return known
}

function kindOf(heading: string): KnownKind {
  const match = HEADING.exec(heading)
  if (match === null) return { reason: heading, isSkip: false }
  const [, skipped, inSkipped, inFailing, reason] = match
  const configurations = (inSkipped ?? inFailing)?.split(',').map((name) => name.trim())
  const isSkip = skipped !== undefined
  return { reason: reason!, isSkip, ...(configurations !== undefined && { configurations }) }
}

export interface ComparisonOptions {
  /** What a test is called in the list. */
  readonly nameOf: (id: string) => string
  /** The configuration that was run, where the suite has several. */
  readonly configuration?: string
  /** Whether a skip that nobody knows of is a regression. */
  readonly countsSkips?: boolean
}

export interface Comparison {
  /** Failed (or was skipped, where that counts), and nobody knew. */
  readonly regressions: readonly TestOutcome[]
  /** Passed, and the list says that they fail. */
  readonly mended: readonly string[]
}

export function compareOutcomes(
  outcomes: readonly TestOutcome[],
  known: readonly KnownResult[],
  { nameOf, configuration, countsSkips = false }: ComparisonOptions,
): Comparison {
  const here = known.filter(
    ({ configurations }) =>
      configuration === undefined || (configurations?.includes(configuration) ?? true),
  )
  const fails = matcher(here.filter(({ isSkip }) => !isSkip))
  const skips = matcher(here.filter(({ isSkip }) => isSkip))
  const regressions = outcomes.filter((test) => {
    const name = nameOf(test.id)
    return (
      (isBad(test) && !fails(name)) || (countsSkips && test.outcome === 'skipped' && !skips(name))
    )
  })
  const passed = outcomes.filter(({ outcome }) => outcome === 'passed')
  return { regressions, mended: passed.map(({ id }) => nameOf(id)).filter(fails) }
}

function matcher(known: readonly KnownResult[]): (name: string) => boolean {
  const names = new Set(known.map(({ test }) => test))
  const patterns = known
    .filter(({ test }) => test.includes('*'))
    .map(({ test }) => new RegExp(`^${test.split('*').map(quoted).join('.*')}$`))
  return (name) => names.has(name) || patterns.some((pattern) => pattern.test(name))
}

function quoted(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** The list without what passes now, and with what fails anew below a heading of its own. */
export function amendKnown(
  text: string,
  comparison: Comparison,
  nameOf: (id: string) => string,
): string {
  const mended = new Set(comparison.mended)
  const kept = text.split('\n').filter((line) => !mended.has(line.trim()))
  const added = comparison.regressions.map(({ id }) => nameOf(id)).sort()
  const known = kept.join('\n').trimEnd()
  if (added.length === 0) return `${known}\n`
  const heading = known.includes(`\n${UNEXPLAINED}\n`) ? '' : `\n\n${UNEXPLAINED}`
  return `${known}${heading}\n${added.join('\n')}\n`
}

const UNEXPLAINED = '## Not looked at yet'
