import { ServiceError } from '../../../common/errors.ts'
import { bodyPieces } from '../../body.ts'
import { type FormPart, formParts, parseParameterised } from '../../layers/form-parts.ts'
import { fromWire } from '../../wire-text.ts'
import type { S3Call } from '../s3-call.ts'
import { S3Error } from '../s3-error.ts'

/** What comes before the file. */
export interface PostForm {
  /** By names in lower case, as text. */
  readonly fields: ReadonlyMap<string, string>
  /** Read once, or left. */
  readonly file: FormPart['body']
  readonly filename: string
}

/** Of all fields together. */
const FIELDS_BYTES_MAX = 64 * 1024
const FIELDS_MAX = 200

/**
 * Reads a form as far as its file, hands it to `take`, and goes on to its end. What stands behind the file is not looked at.
 * MalformedPOSTRequest for what is no form.
 */
export async function takeForm<T>(call: S3Call, take: (form: PostForm) => Promise<T>): Promise<T> {
  const fields = new Map<string, string>()
  let bytes = 0
  const parts = formParts(bodyPieces(call.exchange), boundaryOf(call))
  try {
    for (;;) {
      const { value: part, done } = await parts.next().catch(malformed)
      if (done === true) break
      const { parameters } = parseParameterised(part.headers['content-disposition'] ?? '')
      const name = parameters.name?.toLowerCase()
      if (name === undefined) throw new S3Error('MalformedPOSTRequest')
      if (name === 'file') {
        return await take({ fields, file: part.body, filename: lastName(parameters.filename) })
      }
      const text = await textOf(part, FIELDS_BYTES_MAX - bytes)
      bytes += name.length + text.length
      if (fields.size >= FIELDS_MAX) throw new S3Error('MaxPostPreDataLengthExceeded')
      if (fields.has(name)) {
        throw new S3Error('InvalidArgument', 'POST requires each field no more than once.', {
          ArgumentName: name,
          ArgumentValue: text,
        })
      }
      fields.set(name, text)
    }
  } finally {
    await parts.return(undefined)
  }
  throw new S3Error('InvalidArgument', 'POST requires exactly one file upload per request.', {
    ArgumentName: 'file',
    ArgumentValue: '0',
  })
}

function boundaryOf(call: S3Call): string {
  const type = call.exchange.header('content-type') ?? ''
  const { value, parameters } = parseParameterised(type)
  if (value !== 'multipart/form-data' || !parameters.boundary) {
    throw new S3Error(
      'PreconditionFailed',
      'Bucket POST must be of the enclosure-type multipart/form-data',
    )
  }
  return parameters.boundary
}

async function textOf({ body }: FormPart, bytesMax: number): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > bytesMax) throw new S3Error('MaxPostPreDataLengthExceeded')
      pieces.push(piece)
    }
  } catch (error) {
    return malformed(error)
  }
  const text = fromWire(Buffer.concat(pieces).toString('latin1'))
  if (text === null || text.includes('\0')) throw new S3Error('MalformedPOSTRequest')
  return text
}

/** Some browsers send a whole path. */
function lastName(filename = ''): string {
  return filename.slice(Math.max(filename.lastIndexOf('/'), filename.lastIndexOf('\\')) + 1)
}

/** Throws what S3 calls a form that the reader of its parts cannot read. */
export function malformed(error: unknown): never {
  const isTheForm =
    error instanceof ServiceError && !(error instanceof S3Error) && error.status === 400
  throw isTheForm ? new S3Error('MalformedPOSTRequest') : error
}
