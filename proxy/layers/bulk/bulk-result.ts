import { ServiceError } from '../../../common/errors.ts'
import type { Exchange } from '../../exchange.ts'
import { type BatchReport, statusLine } from '../../swift/batch-report.ts'

/** What the work came to; the fields are those of the report. */
export type BulkResult = Pick<BatchReport, 'fields' | 'errors'>

/** What is reported of work that was given up, by whatever it was. */
export function refusedFields(exchange: Exchange, error: unknown): BatchReport['fields'] {
  if (!(error instanceof ServiceError)) {
    exchange.proxy.log.error('request failed', { transId: exchange.transId, error })
    return { 'Response Status': statusLine(500), 'Response Body': '' }
  }
  const { status, message } = error
  return { 'Response Status': statusLine(status), 'Response Body': status < 500 ? message : '' }
}
