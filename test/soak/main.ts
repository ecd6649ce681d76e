/**
 * `npm run soak -- [--hours H] [--report FILE] [--seeds N] [--jobs J] [--only NAME]`: the long forms of the probes and of
 * the simulator one after the other, again and again with other seeds, until the time is over. The report is rewritten
 * after each step; the last line sums it up, and the exit code is 0 only if nothing failed.
 */
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { roundOf, type SoakStep, type StepReport, soakSummary, summaryOf } from './plan.ts'

interface Flags {
  readonly hours: string
  readonly report: string
  readonly seeds: string
  readonly jobs: string
  readonly only: string
}

const FOLDER = fileURLToPath(new URL('../..', import.meta.url))
/** Lines of a step's output that are kept. */
const LINES_MAX = 2000
const TAIL_LINES = 40
/** A step that was told to stop is given so long. */
const STOP_MS = 30_000

async function main(flags: Flags): Promise<void> {
  const startedMs = Date.now()
  const endMs = startedMs + Number(flags.hours) * 3_600_000
  const options = { seeds: Number(flags.seeds), jobs: Number(flags.jobs), only: flags.only }
  if (roundOf(0, options).length === 0) throw new Error(`no step has ${flags.only} in its name`)
  const steps: StepReport[] = []
  for (let round = 0; Date.now() < endMs; round++) {
    for (const step of roundOf(round, options)) {
      if (Date.now() >= endMs) break
      const report = await runStep(step, round, endMs)
      steps.push(report)
      console.log(`${report.name}: ${report.result}, ${report.summary}`)
      const summary = soakSummary(steps, Date.now() - startedMs)
      const text = JSON.stringify({ startedAt: new Date(startedMs), summary, steps }, null, 2)
      await writeFile(flags.report, `${text}\n`)
    }
  }
  console.log(soakSummary(steps, Date.now() - startedMs))
  process.exitCode = steps.some(({ result }) => result === 'failed') ? 1 : 0
}

/** Runs to its end, or is told to stop when the time is over. */
function runStep(step: SoakStep, round: number, endMs: number): Promise<StepReport> {
  const startedMs = Date.now()
  const child = spawn(process.execPath, step.args, {
    cwd: FOLDER,
    env: { ...process.env, ...step.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  let rest = ''
  const take = (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    lines.push(...parts.filter((line) => line.trim() !== ''))
    if (lines.length > LINES_MAX) lines.splice(0, lines.length - LINES_MAX)
  }
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', take)
  let isStopped = false
  const stop = setTimeout(() => {
    isStopped = true
    child.kill('SIGTERM')
  }, endMs - startedMs)
  const kill = setTimeout(() => child.kill('SIGKILL'), endMs - startedMs + STOP_MS)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exitCode) => {
      clearTimeout(stop)
      clearTimeout(kill)
      take('\n')
      const result = exitCode === 0 ? 'passed' : isStopped ? 'ended' : 'failed'
      resolve({
        name: step.name,
        round,
        startedAt: new Date(startedMs).toISOString(),
        durationMs: Date.now() - startedMs,
        result,
        exitCode,
        summary: summaryOf(lines),
        tail: result === 'passed' ? [] : lines.slice(-TAIL_LINES),
      })
    })
  })
}

await new Command('soak')
  .description('run the long forms of probes and simulator until the time is over')
  .option('--hours <h>', 'for how long', '8')
  .option('--report <file>', 'JSON, written after each step', 'soak-report.json')
  .option('--seeds <n>', 'of the simulator, in each round', '5000')
  .option('--jobs <n>', 'processes of the simulator', '2')
  .option('--only <name>', 'only steps with this in their name', '')
  .action((flags: Flags) => main(flags))
  .parseAsync()
