/** How a run of tests ended, counted in assertions. */
export interface TestCounts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

interface Subtest {
  readonly name: string
  /** Failures that had been printed when it began. */
  readonly reportedBefore: number
}

const INDENT = '    '

/**
 * Reads what `tap --reporter=tap` writes, line by line, and prints what a person wants to know: a line per file, why
 * tests were skipped, and the whole of what failed. A failed test whose inner failure was printed is not repeated.
 */
export class TestRun {
  readonly #print: (line: string) => void
  #counts: TestCounts | null = null
  /** The subtests that are open, outermost first. */
  #open: Subtest[] = []
  #reported = 0
  /** The YAML block after a failed line: its indentation, and whether it is printed. */
  #block: { readonly indent: string; readonly shown: boolean } | null = null

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  /** Takes one line of TAP without its newline. */
  line(line: string): void {
    if (this.#inBlock(line)) return
    const depth = depthOf(line)
    const text = line.slice(depth * INDENT.length)
    const name = /^# Subtest: (.*)$/.exec(text)?.[1]
    if (name !== undefined) {
      this.#open = [...this.#open.slice(0, depth), { name, reportedBefore: this.#reported }]
      return
    }
    const point = /^(not )?ok \d+(?: - (.*))?$/.exec(text)
    if (point !== null) this.#point(depth, { ok: point[1] === undefined, rest: point[2] ?? '' })
    else if (text.startsWith('Bail out!')) this.#print(text)
    else if (depth === 0) this.#closing(text)
  }

  /** The sums of tap's own closing line; a run that ended without it counts as a failure. */
  counts(): TestCounts {
    return this.#counts ?? { passed: 0, failed: 1, skipped: 0 }
  }

  #point(depth: number, point: { readonly ok: boolean; readonly rest: string }): void {
    const directive = /^(.*?)\s*# (SKIP|TODO|time=\S+)\s*(.*)$/i.exec(point.rest)
    const name = directive?.[1] ?? point.rest
    const kind = directive?.[2] ?? ''
    const where = [...this.#open.slice(0, depth).map((subtest) => subtest.name), name].join(' > ')
    if (/^skip$/i.test(kind)) this.#print(`skipped: ${where}: ${directive![3]}`)
    else if (!point.ok && !/^todo$/i.test(kind)) this.#failure(depth, where)
    if (depth === 0) {
      const time = kind.startsWith('time=') ? kind.slice('time='.length) : ''
      this.#print(`${point.ok ? 'ok' : 'FAILED'} ${name} ${time}`.trimEnd())
    }
    this.#open = this.#open.slice(0, depth)
  }

  #failure(depth: number, where: string): void {
    const shown = (this.#open[depth]?.reportedBefore ?? this.#reported) === this.#reported
    this.#block = { indent: `${INDENT.repeat(depth)}  `, shown }
    if (!shown) return
    this.#reported++
    this.#print(`not ok: ${where}`)
  }

  #inBlock(line: string): boolean {
    if (this.#block === null) return false
    const { indent, shown } = this.#block
    if (line.trim() === '') return true
    const inside = line.startsWith(indent) ? line.slice(indent.length) : null
    if (inside === null || inside === '...') this.#block = null
    else if (shown && inside !== '---') this.#print(`    ${inside}`)
    return inside !== null
  }

  #closing(text: string): void {
    const sums = /^# \{ (total: .*) \}$/.exec(text)?.[1]
    if (sums === undefined) return
    const sum = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(sums)?.[1] ?? 0)
    this.#counts = { passed: sum('pass'), failed: sum('fail'), skipped: sum('skip') }
  }
}

function depthOf(line: string): number {
  let depth = 0
  while (line.startsWith(INDENT, depth * INDENT.length)) depth++
  return depth
}
