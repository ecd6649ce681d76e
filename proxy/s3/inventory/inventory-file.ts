/** The files of a report, by their formats. */
import { CsvFile, csvSchema } from './csv-file.ts'
import type { Cell, InventoryColumn } from './inventory-columns.ts'
import type { InventoryFormat } from './inventory-rule.ts'
import { ParquetFile, parquetSchema } from './parquet-file.ts'

/** A file that is being made. */
export interface InventoryFile {
  /** No more is to be added. */
  readonly isFull: boolean
  /** A cell of each column. */
  add(cells: readonly Cell[]): void
  /** The whole; the file is over. */
  finish(): Promise<Buffer>
}

export interface FileFormat {
  readonly extension: string
  readonly contentType: string
  readonly schema: (columns: readonly InventoryColumn[]) => string
  readonly open: (columns: readonly InventoryColumn[]) => InventoryFile
}

export const FILE_FORMATS: Readonly<Record<InventoryFormat, FileFormat>> = {
  CSV: {
    extension: 'csv.gz',
    contentType: 'application/gzip',
    schema: csvSchema,
    open: (columns) => new CsvFile(columns),
  },
  Parquet: {
    extension: 'parquet',
    contentType: 'application/vnd.apache.parquet',
    schema: parquetSchema,
    open: (columns) => new ParquetFile(columns),
  },
}
