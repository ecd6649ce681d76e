/** What a soak run does, in which order, and when it ends: pure. */

/** One program of the round. */
export interface SoakStep {
  readonly name: string
  /** Arguments of node. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Probes whose long forms take minutes to an hour. */
const PROBES = [
  'kill-storm',
  'power-cut',
  'eio',
  'race',
  'cluster',
  'zone-cut',
  'clock-skew',
  'threads',
  'storage-node',
  'overload',
  'http-abuse',
] as const

export interface SoakOptions {
  /** Seeds of the simulator in each round. */
  readonly seeds: number
  readonly jobs: number
  /** Only steps whose names contain it; empty for all. */
  readonly only: string
}

/** The steps of one round; each has seeds of its own. `folder` is the repository's. */
export function roundOf(round: number, options: SoakOptions): readonly SoakStep[] {
  const { seeds, jobs, only } = options
  const first = 1_000_000 + round * seeds
  const sim = ['--seeds', seeds, '--seed', first, '--jobs', jobs].map(String)
  const steps: SoakStep[] = [
    { name: 'sim', args: ['--import=tsx', 'test/sim/main.ts', ...sim], env: {} },
    ...PROBES.map((probe) => probeStep(`probe/${probe}`, `test/probe/${probe}.test.ts`)),
    {
      ...probeStep('container-lives', 'test/sim/container-lives.test.ts'),
      env: { SWIFTLET_SIM_SEEDS: '200', SWIFTLET_SIM_SEED: String(1 + round * 200) },
    },
  ]
  return steps.filter(({ name }) => name.includes(only))
}

function probeStep(name: string, file: string): SoakStep {
  const args = ['node_modules/.bin/tap', '--timeout=14400', '--reporter=tap', file]
  return { name, args, env: { SWIFTLET_PROBE: 'long' } }
}

/** What one step came to. */
export interface StepReport {
  readonly name: string
  readonly round: number
  readonly startedAt: string
  readonly durationMs: number
  /** `ended`: the time was over before it was done, and it was told to stop. */
  readonly result: 'passed' | 'failed' | 'ended'
  readonly exitCode: number | null
  /** The line that says what it did. */
  readonly summary: string
  /** What it printed last, if it failed. */
  readonly tail: readonly string[]
}

/** The line of a step's output that sums it up: of the simulator or of tap; else the last one. */
export function summaryOf(lines: readonly string[]): string {
  const telling = lines.findLast(
    (line) => / seeds, \d+ operations, \d+ violations$/.test(line) || /^# \{ total: /.test(line),
  )
  return telling ?? lines.at(-1) ?? ''
}

/** The last line of a soak run. */
export function soakSummary(steps: readonly StepReport[], durationMs: number): string {
  const count = (result: StepReport['result']) =>
    steps.filter((step) => step.result === result).length
  const hours = (durationMs / 3_600_000).toFixed(2)
  return `soak: ${steps.length} steps in ${hours} h, ${count('passed')} passed, ${count('failed')} failed, ${count('ended')} ended by the time`
}
