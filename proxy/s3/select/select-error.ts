/** What goes wrong in a query, by AWS's codes: before the answer begins it is a refusal, after that a message in the stream. */

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, "List of SELECT Object Content Error Codes". */
export const SELECT_ERRORS = {
  CSVParsingError: 'The CSV file could not be parsed. Check the file and try again.',
  CSVUnescapedQuote: 'An unescaped quote was found while parsing the CSV file.',
  CastFailed: 'An attempt to convert from one data type to another using CAST failed.',
  EvaluatorInvalidArguments: 'There is an incorrect number or type of arguments in the call.',
  EvaluatorInvalidTimestampFormatPatternSymbol:
    'The timestamp format pattern contains a symbol that is not valid.',
  EvaluatorUnterminatedTimestampFormatPatternToken:
    'The timestamp format pattern contains an unterminated token.',
  ExpressionTooLong: 'The SQL expression is longer than 262,144 bytes.',
  IllegalSqlFunctionArgument: 'An illegal argument was used in the SQL function.',
  IntegerOverflow: 'An integer overflow or underflow occurred in the SQL expression.',
  InvalidColumnIndex: 'The column index in the SQL expression is not valid.',
  InvalidCompressionFormat: 'The file is not in the compression format that was specified.',
  InvalidExpressionType: 'The ExpressionType is not valid: only SQL expressions are supported.',
  InvalidFileHeaderInfo:
    'The FileHeaderInfo is not valid: only NONE, USE and IGNORE are supported.',
  InvalidJsonType: 'The JsonType is not valid: only DOCUMENT and LINES are supported.',
  InvalidQuoteFields: 'The QuoteFields is not valid: only ALWAYS and ASNEEDED are supported.',
  InvalidRequestParameter: 'The value of a parameter in the request is not valid.',
  InvalidScanRange: 'The scan range is not valid.',
  InvalidTableAlias: 'The SQL expression contains a table name or alias that is not valid.',
  InvalidTextEncoding: 'The encoding is not valid: only UTF-8 is supported.',
  JSONParsingError: 'The JSON file could not be parsed. Check the file and try again.',
  LexerInvalidChar: 'The SQL expression contains a character that is not valid.',
  LexerInvalidIONLiteral: 'The SQL expression contains an Ion literal that is not valid.',
  LexerInvalidLiteral: 'The SQL expression contains a literal that is not valid.',
  LikeInvalidInputs: 'The arguments of LIKE in the SQL expression are not valid.',
  MissingHeaders:
    'Some headers in the query are missing from the file. Check the file and try again.',
  MissingRequiredParameter: 'The SelectRequest entity is missing a required parameter.',
  ObjectSerializationConflict:
    'InputSerialization and OutputSerialization each specify one format, and only one.',
  OverMaxParquetBlockSize: 'The Parquet file is above the limits of what is read at once.',
  OverMaxRecordSize: 'A record in the input or result is longer than the limit of 1 MB.',
  ParquetParsingError: 'The Parquet file could not be parsed. Check the file and try again.',
  ParquetUnsupportedCompressionCodec:
    'The compression of the Parquet file is not supported: only GZIP and Snappy are.',
  ParseAsteriskIsNotAloneInSelectList: 'Other expressions stand beside * in the SELECT list.',
  ParseCastArity: 'CAST takes one expression and one type.',
  ParseEmptySelect: 'The SELECT list of the SQL expression is empty.',
  ParseExpectedDatePart: 'The expected date part was not found in the SQL expression.',
  ParseExpectedExpression: 'The expected SQL expression was not found.',
  ParseExpectedIdentForAlias: 'The expected identifier for the alias was not found.',
  ParseExpectedKeyword: 'The expected keyword was not found in the SQL expression.',
  ParseExpectedLeftParenAfterCast: 'The expected left parenthesis after CAST was not found.',
  ParseExpectedMember: 'The SQL expression contains an unsupported use of MEMBER.',
  ParseExpectedNumber: 'The expected number was not found in the SQL expression.',
  ParseExpectedRightParenBuiltinFunctionCall:
    'The expected right parenthesis was not found in the SQL expression.',
  ParseExpectedTypeName: 'The expected type name was not found in the SQL expression.',
  ParseExpectedWhenClause: 'The expected WHEN clause in the SQL expression was not found.',
  ParseInvalidPathComponent: 'The SQL expression contains a path component that is not valid.',
  ParseNonUnaryAggregateFunctionCall: 'An aggregate function takes exactly one argument.',
  ParseSelectMissingFrom: 'The SQL expression contains a SELECT without FROM.',
  ParseUnexpectedKeyword: 'The SQL expression contains an unexpected keyword.',
  ParseUnexpectedToken: 'The SQL expression contains an unexpected token.',
  ParseUnsupportedCallWithStar: 'Only COUNT can be called with *.',
  ParseUnsupportedSelect: 'The SQL expression contains an unsupported use of SELECT.',
  ParseUnsupportedSyntax: 'The SQL expression contains unsupported syntax.',
  TruncatedInput: 'The object could not be unpacked: is it packed as the request says?',
  UnsupportedFunction: 'An unsupported SQL function is called.',
  UnsupportedScanRangeInput:
    'Scan ranges are for Parquet, uncompressed CSV without quoted record delimiters, and JSON LINES.',
  UnsupportedSqlStructure: 'The structure of the SQL expression is not supported.',
  ValueParseFailure: 'A time stamp could not be parsed in the SQL expression.',
} as const satisfies Readonly<Record<string, string>>

export type SelectCode = keyof typeof SELECT_ERRORS

/** The same as refusals: all of them are the client's doing. */
export const SELECT_REFUSALS = Object.fromEntries(
  Object.entries(SELECT_ERRORS).map(([code, message]) => [code, [400, message]]),
) as unknown as Readonly<Record<SelectCode, readonly [status: 400, message: string]>>

/** An expected failure of a query; crosses threads by code and message. */
export class SelectError extends Error {
  readonly code: SelectCode

  constructor(code: SelectCode, detail?: string) {
    super(detail === undefined ? SELECT_ERRORS[code] : `${SELECT_ERRORS[code]} ${detail}`)
    this.code = code
  }
}
