/** What the tests of an upstream suite came to. Pure. */

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

/** Whether the test, or what stands around it, failed. */
export function isBad({ outcome }: TestOutcome): boolean {
  return outcome === 'failed' || outcome === 'error'
}

/** Reads the lines that `outcomes_plugin.py` writes. */
export function parseOutcomes(text: string): readonly TestOutcome[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as TestOutcome)
}

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
