/** What a run of the suite came to, and how that compares with what is known. Pure. */
import { XMLParser } from 'fast-xml-parser'

export const OUTCOMES = ['passed', 'failed', 'skipped'] as const
export type Outcome = (typeof OUTCOMES)[number]

export interface TestResult {
  /** `test_account.TestAccount.test_POST`. */
  readonly test: string
  readonly outcome: Outcome
  /** Why it failed or was skipped; empty for one that passed. */
  readonly message: string
}

/** A failure or a skip that is known, with its reason. */
export interface Known {
  /** A test; `*` stands for any characters. */
  readonly test: string
  /** Where; everywhere if absent. */
  readonly configurations?: readonly string[]
  readonly reason: string
}

export interface KnownResults {
  readonly failures: readonly Known[]
  readonly skips: readonly Known[]
}

export interface Comparison {
  /** Failed, or was skipped, and is not known to. */
  readonly regressions: readonly TestResult[]
  /** Known to fail, and passed. */
  readonly mended: readonly TestResult[]
}

const PACKAGE = 'test.functional.'

interface JunitCase {
  readonly '@classname': string
  readonly '@name': string
  readonly failure?: unknown
  readonly error?: unknown
  readonly skipped?: unknown
}

/** Reads pytest's JUnit XML. A test that is there twice (its call, and what came after it) has the worse of both outcomes. */
export function readJunit(xml: string): readonly TestResult[] {
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    isArray: (name) => name === 'testcase' || name === 'testsuite',
  })
  const root = parser.parse(xml) as {
    readonly testsuites?: { readonly testsuite?: readonly { readonly testcase?: JunitCase[] }[] }
  }
  const results = new Map<string, TestResult>()
  for (const suite of root.testsuites?.testsuite ?? []) {
    for (const one of suite.testcase ?? []) {
      const result = resultOf(one)
      const before = results.get(result.test)
      if (before === undefined || rank(result) > rank(before)) results.set(result.test, result)
    }
  }
  return [...results.values()]
}

function resultOf(one: JunitCase): TestResult {
  const name = `${one['@classname']}.${one['@name']}`
  const test = name.startsWith(PACKAGE) ? name.slice(PACKAGE.length) : name
  const bad = one.failure ?? one.error
  if (bad !== undefined) return { test, outcome: 'failed', message: messageOf(bad) }
  if (one.skipped === undefined) return { test, outcome: 'passed', message: '' }
  return { test, outcome: 'skipped', message: messageOf(one.skipped) }
}

function messageOf(element: unknown): string {
  const message = (element as { readonly '@message'?: string } | null)?.['@message'] ?? ''
  return String(message).split('\n')[0]!.slice(0, 300)
}

function rank({ outcome }: TestResult): number {
  return ['passed', 'skipped', 'failed'].indexOf(outcome)
}

export function compare(
  results: readonly TestResult[],
  known: KnownResults,
  configuration: string,
): Comparison {
  const failures = matcher(known.failures, configuration)
  const skips = matcher(known.skips, configuration)
  return {
    regressions: results.filter(
      ({ test, outcome }) =>
        (outcome === 'failed' && !failures(test)) || (outcome === 'skipped' && !skips(test)),
    ),
    mended: results.filter(({ test, outcome }) => outcome === 'passed' && failures(test)),
  }
}

function matcher(known: readonly Known[], configuration: string): (test: string) => boolean {
  const patterns = known
    .filter(({ configurations }) => configurations?.includes(configuration) ?? true)
    .map(({ test }) => new RegExp(`^${test.split('*').map(quoted).join('.*')}$`))
  return (test) => patterns.some((pattern) => pattern.test(test))
}

function quoted(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

export interface ModuleCounts extends Readonly<Record<Outcome, number>> {
  readonly module: string
  readonly ran: number
}

/** By module, in alphabetical order, and the sums of all as the last. */
export function countModules(results: readonly TestResult[]): readonly ModuleCounts[] {
  const modules = new Map<string, TestResult[]>()
  for (const result of results) {
    const module = `${result.test.split('.')[0]!}.py`
    modules.set(module, [...(modules.get(module) ?? []), result])
  }
  const sorted = [...modules].sort(([a], [b]) => (a < b ? -1 : 1))
  return [...sorted, ['together', results] as const].map(([module, of]) => countsOf(module, of))
}

function countsOf(module: string, results: readonly TestResult[]): ModuleCounts {
  const count = (outcome: Outcome) => results.filter((one) => one.outcome === outcome).length
  const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')]
  return { module, ran: passed + failed, passed, failed, skipped }
}

/** A table in Markdown, which reads well as plain text. */
export function table(counts: readonly ModuleCounts[]): string {
  const rows = counts.map(({ module, ran, passed, failed, skipped }) => {
    const numbers = [ran, passed, failed, skipped].map((number) => String(number).padStart(7))
    return `| ${module.padEnd(26)} | ${numbers.join(' | ')} |`
  })
  const head = ['ran', 'passed', 'failed', 'skipped'].map((word) => word.padStart(7))
  return [
    `| ${'module'.padEnd(26)} | ${head.join(' | ')} |`,
    `| ${'-'.repeat(26)} | ${head.map(() => '------:').join(' | ')} |`,
    ...rows,
  ].join('\n')
}

/** Throws for what is no list of known results. */
export function parseKnown(text: string): KnownResults {
  const { failures, skips } = JSON.parse(text) as KnownResults
  for (const { test, reason } of [...failures, ...skips]) {
    if (typeof test !== 'string' || typeof reason !== 'string' || reason === '') {
      throw new Error(`a known result needs a test and a reason: ${JSON.stringify({ test })}`)
    }
  }
  return { failures, skips }
}
