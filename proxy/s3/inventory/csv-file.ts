/** A report's lines as packed CSV. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { s3TimeOfMs } from '../s3-time.ts'
import type { Cell, InventoryColumn } from './inventory-columns.ts'
import type { InventoryFile } from './inventory-file.ts'

const pack = promisify(gzip)

/** Unpacked, of one file. */
const FILE_CHARS_MAX = 16 * 1024 * 1024

/** The columns' names, as the manifest tells them. */
export function csvSchema(columns: readonly InventoryColumn[]): string {
  return columns.map(({ name }) => name).join(', ')
}

/** All is quoted, keys are escaped as in URLs. */
export class CsvFile implements InventoryFile {
  readonly #columns: readonly InventoryColumn[]
  readonly #lines: string[] = []
  #chars = 0

  constructor(columns: readonly InventoryColumn[]) {
    this.#columns = columns
  }

  get isFull(): boolean {
    return this.#chars >= FILE_CHARS_MAX
  }

  add(cells: readonly Cell[]): void {
    const values = this.#columns.map((column, index) => cellText(column, cells[index]!))
    const line = `${values.map((value) => `"${value.replaceAll('"', '""')}"`).join(',')}\n`
    this.#lines.push(line)
    this.#chars += line.length
  }

  finish(): Promise<Buffer> {
    return pack(this.#lines.join(''))
  }
}

function cellText({ name, kind }: InventoryColumn, cell: Cell): string {
  if (cell === null) return ''
  if (kind === 'time') return s3TimeOfMs(Number(cell))
  return name === 'Key' ? escapeKey(String(cell)) : String(cell)
}

function escapeKey(key: string): string {
  const escaped = encodeURIComponent(key).replaceAll('%2F', '/')
  return escaped.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}
