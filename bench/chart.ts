import type { BenchRow } from './http-bench.ts'
import type { Machine } from './machine.ts'
import { rateText } from './measurement.ts'

const WIDTH = 860
const LABEL_WIDTH = 210
const BAR_WIDTH = 400
const ROW_HEIGHT = 22
const TOP = 70

export interface ChartData {
  readonly machine: Machine
  readonly rounds: number
  readonly rows: readonly BenchRow[]
}

const TITLE = 'Swiftlet, every write fdatasync’d, beside what bare node:http and group commit allow'

/** A bar for each scenario: Swiftlet's rate as a share of the limit program's, which is the line at 100 %. */
export function drawChart(report: ChartData): string {
  const shareMax = Math.max(1.1, ...report.rows.map((row) => row.rateRatio))
  const scale = BAR_WIDTH / shareMax
  const height = TOP + report.rows.length * ROW_HEIGHT + 40
  const limitX = LABEL_WIDTH + scale
  const { machine } = report
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${TITLE}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(16, 26, TITLE, 'font-size="15" font-weight="600"'),
    text(
      16,
      46,
      `${machine.cpu}, ${machine.cores} cores, ${machine.fileSystem}, Node ${machine.node}; medians of ${report.rounds} interleaved runs`,
      'fill="#666"',
    ),
    ...report.rows.map((row, index) => drawRow(row, { y: TOP + index * ROW_HEIGHT, scale })),
    `<line x1="${limitX}" x2="${limitX}" y1="${TOP - 8}" y2="${height - 34}" stroke="#444" stroke-dasharray="3 3"/>`,
    text(limitX - 60, height - 16, 'limit program = 100 %', 'fill="#444"'),
    '</svg>',
    '',
  ].join('\n')
}

function drawRow(row: BenchRow, at: { readonly y: number; readonly scale: number }): string {
  const { method, concurrency, id } = row.scenario
  const label = `${method} ${id.split('-')[1]} × ${concurrency}, ${row.replicas} ${row.replicas === 1 ? 'replica' : 'replicas'}`
  const width = row.rateRatio * at.scale
  const colour = method === 'PUT' ? '#d9662b' : '#2b7bd9'
  const figures = `${(row.rateRatio * 100).toFixed(0)} %  ${rateText(row.sides.swiftlet)} of ${rateText(row.sides.limit)}`
  return [
    text(16, at.y + 13, label),
    `<rect x="${LABEL_WIDTH}" y="${at.y + 2}" width="${width.toFixed(1)}" height="${ROW_HEIGHT - 7}" rx="2" fill="${colour}"/>`,
    text(LABEL_WIDTH + BAR_WIDTH + 16, at.y + 13, figures, 'fill="#444"'),
  ].join('')
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped}</text>`
}
