/** What the tests of an upstream suite came to, and how that compares with what is known of them. Pure. */

export const OUTCOMES = ['passed', 'failed', 'error', 'skipped'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** One test of an upstream suite. `error`: its set-up or tear-down failed. */
export interface TestOutcome {
  readonly id: string
  readonly outcome: Outcome
  /** The first line of what went wrong, or why it was skipped. */
  readonly why: string
  readonly markers: readonly string[]
  readonly seconds: number
}

/** Reads the lines that `outcomes_plugin.py` writes. */
export function parseOutcomes(text: string): readonly TestOutcome[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as TestOutcome)
}

/** Tests that are known to fail, by name, and why. */
export type KnownFailures = ReadonlyMap<string, string>

/**
 * Reads a list of known failures: headings `## why` with one test a line below. What stands before the first heading is for its reader.
 * Throws where a test stands in it twice.
 */
export function parseKnownFailures(text: string): KnownFailures {
  const known = new Map<string, string>()
  let why: string | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) why = line.slice(3).trim()
    else if (why !== undefined && line.trim() !== '') {
      const name = line.trim()
      if (known.has(name)) throw new Error(`${name} stands twice in the list of known failures`)
      known.set(name, why)
    }
  }
  return known
}

export interface Comparison {
  /** Failed, and nobody knew. */
  readonly regressions: readonly TestOutcome[]
  /** Passed, and the list says that they fail. */
  readonly mended: readonly string[]
}

/** `nameOf` is what a test is called in the list. */
export function compareOutcomes(
  outcomes: readonly TestOutcome[],
  known: KnownFailures,
  nameOf: (id: string) => string,
): Comparison {
  const regressions = outcomes.filter((test) => isBad(test) && !known.has(nameOf(test.id)))
  const passed = outcomes.filter(({ outcome }) => outcome === 'passed')
  const mended = passed.map(({ id }) => nameOf(id)).filter((name) => known.has(name))
  return { regressions, mended }
}

/** The list without what passes now, and with what fails anew below a heading of its own. */
export function amendKnownFailures(
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

/** Lines of a table: how many ran, passed, failed and were skipped, area by area and in all. */
export function outcomeTable(
  outcomes: readonly TestOutcome[],
  areaOf: (test: TestOutcome) => string,
): readonly string[] {
  const areas = new Map<string, TestOutcome[]>()
  for (const test of outcomes) {
    const area = areaOf(test)
    const sofar = areas.get(area)
    if (sofar === undefined) areas.set(area, [test])
    else sofar.push(test)
  }
  const rows = [...areas]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([area, tests]) => rowOf(area, tests))
  return [
    '| area | ran | passed | failed | skipped |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    rowOf('**all**', outcomes),
  ]
}

function rowOf(area: string, tests: readonly TestOutcome[]): string {
  const count = (wanted: Outcome) => tests.filter(({ outcome }) => outcome === wanted).length
  const skipped = count('skipped')
  const failed = tests.filter(isBad).length
  return `| ${area} | ${tests.length - skipped} | ${count('passed')} | ${failed} | ${skipped} |`
}

function isBad({ outcome }: TestOutcome): boolean {
  return outcome === 'failed' || outcome === 'error'
}
