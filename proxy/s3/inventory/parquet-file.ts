/**
 * A report's lines as Parquet, packed by Snappy. Lines are kept until they fill a row group, and are then bytes of the file: what is in
 * memory is one row group and one file, however long the listing is.
 */
import type { SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import type { Cell, CellKind, InventoryColumn } from './inventory-columns.ts'
import type { InventoryFile } from './inventory-file.ts'

/** A file is closed when it is so long; what stands at its end is of all its row groups, and made at once. */
const FILE_BYTES_MAX = 4 * 1024 * 1024
/** Whichever comes first ends a row group: the loop does nothing else while one is packed. */
const GROUP_ROWS_MAX = 1_000
const GROUP_CHARS_MAX = 1024 * 1024

const TYPES: Readonly<Record<CellKind, Omit<SchemaElement, 'name'>>> = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  boolean: { type: 'BOOLEAN' },
  number: { type: 'INT64' },
  time: { type: 'INT64', converted_type: 'TIMESTAMP_MILLIS' },
}
/** The same in the language of schemas. */
const TYPE_TEXTS: Readonly<Record<CellKind, readonly [type: string, annotation: string]>> = {
  text: ['binary', ' (UTF8)'],
  boolean: ['boolean', ''],
  number: ['int64', ''],
  time: ['int64', ' (TIMESTAMP_MILLIS)'],
}
const SCHEMA = 's3.inventory'
/** In the form that Java's readers parse, or they do not trust what the file says of its columns. */
const CREATED_BY = 'swiftlet version 1'

/** As the manifest tells it. */
export function parquetSchema(columns: readonly InventoryColumn[]): string {
  const fields = columns.map((column) => {
    const [type, annotation] = TYPE_TEXTS[column.kind]
    return `${repetition(column).toLowerCase()} ${type} ${parquetName(column)}${annotation};`
  })
  return `message ${SCHEMA} { ${fields.join(' ')} }`
}

export class ParquetFile implements InventoryFile {
  readonly #columns: readonly InventoryColumn[]
  readonly #bytes = new ByteWriter()
  readonly #writer: ParquetWriter
  #rows: (readonly Cell[])[] = []
  #chars = 0

  constructor(columns: readonly InventoryColumn[]) {
    this.#columns = columns
    const schema = schemaOf(columns)
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema, createdBy: CREATED_BY })
  }

  get isFull(): boolean {
    return this.#bytes.offset >= FILE_BYTES_MAX
  }

  add(cells: readonly Cell[]): void {
    this.#rows.push(cells)
    for (const cell of cells) if (typeof cell === 'string') this.#chars += cell.length
    if (this.#rows.length >= GROUP_ROWS_MAX || this.#chars >= GROUP_CHARS_MAX) this.#endGroup()
  }

  async finish(): Promise<Buffer> {
    this.#endGroup()
    await this.#writer.finish()
    return Buffer.from(this.#bytes.getBytes())
  }

  #endGroup(): void {
    if (this.#rows.length === 0) return
    const columnData = this.#columns.map((column, index) => ({
      name: parquetName(column),
      data: this.#rows.map((cells) => stored(column.kind, cells[index]!)),
    }))
    void this.#writer.write({ columnData, rowGroupSize: this.#rows.length })
    this.#rows = []
    this.#chars = 0
  }
}

function schemaOf(columns: readonly InventoryColumn[]): SchemaElement[] {
  const fields = columns.map((column) => ({
    name: parquetName(column),
    repetition_type: repetition(column),
    ...TYPES[column.kind],
  }))
  return [{ name: SCHEMA, num_children: fields.length }, ...fields]
}

function repetition({ isRequired }: InventoryColumn): 'REQUIRED' | 'OPTIONAL' {
  return isRequired ? 'REQUIRED' : 'OPTIONAL'
}

/** `LastModifiedDate` is `last_modified_date`. */
function parquetName({ name }: InventoryColumn): string {
  return name.replace(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
}

function stored(kind: CellKind, cell: Cell): unknown {
  if (cell === null) return null
  if (kind === 'number') return BigInt(cell)
  return kind === 'time' ? new Date(Number(cell)) : cell
}
