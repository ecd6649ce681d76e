import fc from 'fast-check'
import t from 'tap'
import { SelectError } from './select-error.ts'
import type { CsvInput, CsvOutput, JsonInput, SelectRequest } from './select-request.ts'
import { SelectScan } from './select-scan.ts'
import { parseQuery } from './sql/parse-query.ts'

const CSV: CsvInput = {
  format: 'csv',
  header: 'NONE',
  recordDelimiter: '\n',
  fieldDelimiter: ',',
  quote: '"',
  escape: '"',
  comments: '#',
  quotedDelimiters: true,
}
const JSON_INPUT: JsonInput = { format: 'json', type: 'LINES' }
const TO_CSV: CsvOutput = {
  format: 'csv',
  recordDelimiter: '\n',
  fieldDelimiter: ',',
  quote: '"',
  escape: '"',
  quoteFields: 'ASNEEDED',
}
const TO_JSON = { format: 'json', recordDelimiter: '\n' } as const

interface Asked {
  readonly input?: CsvInput | JsonInput
  readonly output?: SelectRequest['output']
  /** Bytes that come at once. */
  readonly pieceBytes?: number
}

/** What comes out, or the code of what went wrong. */
function select(sql: string, data: string, asked: Asked = {}): string {
  const { input = CSV, output = TO_CSV, pieceBytes = 7 } = asked
  let text = ''
  try {
    const plan = { request: { input, output }, query: parseQuery(sql), nowMs: 1e12 }
    const scan = new SelectScan(plan, (piece) => {
      text += piece.toString()
    })
    const bytes = Buffer.from(data)
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      if (!scan.push(Buffer.from(bytes.subarray(at, at + pieceBytes)))) break
    }
    scan.end()
  } catch (error) {
    if (!(error instanceof SelectError)) throw error
    return error.code
  }
  return text
}

/** The value of one expression. */
function textOf(expression: string): string {
  return select(`SELECT ${expression} FROM S3Object`, 'a,1,\n').slice(0, -1)
}

t.test('expressions come to what the reference says', async (t) => {
  const cases: readonly (readonly [expression: string, value: string])[] = [
    ['1 + 2 * 3 - -4', '11'],
    ['7 / 2', '3'],
    ['7 / 2.0', '3.5'],
    ['-7 % 4', '-3'],
    ['0.1 + 0.2', '0.3'],
    ['1 / 3.0', '0.33333333333333333333333333333333333333'],
    ['CAST(1 AS FLOAT) / 4', '0.25'],
    ['9007199254740993 + 1', '9007199254740994'],
    ['_2 + 1', '2'],
    ['NOT 1 = 2 AND TRUE', 'true'],
    ['TRUE OR NULL', 'true'],
    ['FALSE OR NULL', ''],
    ['FALSE AND NULL', 'false'],
    ['1 <> 2', 'true'],
    ["'10' > 9", 'true'],
    ["'b' > 'a'", 'true'],
    ["'a' = 1", 'false'],
    ['2 BETWEEN 1 AND 3', 'true'],
    ['2 NOT BETWEEN 1 AND 3', 'false'],
    ['2 IN (1, 2)', 'true'],
    ['3 IN (1, NULL)', ''],
    ['3 NOT IN (1, 2)', 'true'],
    ['NULL IS NULL', 'true'],
    ['MISSING IS MISSING', 'true'],
    ['NULL IS MISSING', 'false'],
    ['_9 IS NOT MISSING', 'false'],
    ["'abc' LIKE 'a%'", 'true'],
    ["'abc' LIKE '_b_'", 'true'],
    ["'abc' LIKE 'b%'", 'false'],
    ["'a%c' LIKE 'a$%c' ESCAPE '$'", 'true'],
    ["'abc' LIKE 'a$%c' ESCAPE '$'", 'false'],
    ["'aXbXc' LIKE '%X%X%'", 'true'],
    ["'a' || 'b' || 1", 'ab1'],
    ["CAST(' 5 ' AS INT)", '5'],
    ["CAST('1.9' AS INT)", '1'],
    ["CAST('1.10' AS DECIMAL)", '1.1'],
    ["CAST('TRUE' AS BOOL)", 'true'],
    ['CAST(0 AS BOOL)', 'false'],
    ['CAST(NULL AS INT)', ''],
    ['INT(_2) /* of it */ -- and no more\n', '1'],
    [`'${'1'.repeat(100_000)}x' > 1`, ''],
    ["CASE WHEN _2 = 1 THEN 'one' ELSE 'more' END", 'one'],
    ["CASE _1 WHEN 'b' THEN 1 WHEN 'a' THEN 2 END", '2'],
    ["CASE _1 WHEN 'b' THEN 1 END", ''],
    ['COALESCE(NULL, MISSING, 3)', '3'],
    ['NULLIF(1, 1)', ''],
    ['NULLIF(1, 2)', '1'],
    ["CHAR_LENGTH('a😀')", '2'],
    ["UPPER('straße')", 'STRASSE'],
    ["LOWER('ÄB')", 'äb'],
    ["SUBSTRING('123456789', 0)", '123456789'],
    ["SUBSTRING('123456789', -4, 6)", '1'],
    ["SUBSTRING('123456789' FROM 3 FOR 2)", '34'],
    ["'[' || TRIM('  x ') || ']'", '[x]'],
    ["TRIM(LEADING FROM '  x ') || '|'", 'x |'],
    ["TRIM(BOTH '12' FROM '1112211foobar22211122')", 'foobar'],
    ["TRIM('xy' FROM 'xyay')", 'a'],
  ]
  for (const [expression, value] of cases) t.equal(textOf(expression), value, expression)
})

t.test('times are as precise as they were known, and keep their offset', async (t) => {
  const cases: readonly (readonly [expression: string, value: string])[] = [
    ['DATE_ADD(year, 5, `2010-01-01T`)', '2015-01-01T'],
    ['DATE_ADD(month, 1, `2010T`)', '2010-02T'],
    ['DATE_ADD(month, 13, `2010T`)', '2011-02T'],
    ['DATE_ADD(month, 1, `2024-01-31T`)', '2024-02-29T'],
    ['DATE_ADD(day, -1, `2017-01-10T`)', '2017-01-09T'],
    ['DATE_ADD(hour, 1, `2017-01-02T03:04Z`)', '2017-01-02T04:04Z'],
    ['DATE_ADD(minute, 1, `2017-01-02T03:04:05.006Z`)', '2017-01-02T03:05:05.006Z'],
    ['DATE_ADD(second, 1, `2017-01-02T03:04:59.006+07:08`)', '2017-01-02T03:05:00.006+07:08'],
    ['DATE_DIFF(year, `2010-01-01T`, `2011-01-01T`)', '1'],
    ['DATE_DIFF(year, `2010T`, `2010-05T`)', '0'],
    ['DATE_DIFF(month, `2010T`, `2011T`)', '12'],
    ['DATE_DIFF(month, `2011T`, `2010T`)', '-12'],
    ['DATE_DIFF(day, `2010-01-01T23:00Z`, `2010-01-02T01:00Z`)', '0'],
    ['EXTRACT(YEAR FROM `2010-01-01T`)', '2010'],
    ['EXTRACT(HOUR FROM `2017-01-02T03:04:05+07:08`)', '3'],
    ['EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05+07:08`)', '7'],
    ['EXTRACT(TIMEZONE_MINUTE FROM `2017-01-02T03:04:05-07:08`)', '-8'],
    ["TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y')", '"July 20, 1969"'],
    ["TO_STRING(`1969-07-20T20:18Z`, 'M-d-yy h:m a')", '7-20-69 8:18 PM'],
    ["TO_STRING(`1969-07-20T20:18Z`, 'y-MM-dd''T''H:m:ssX')", '1969-07-20T20:18:00Z'],
    ["TO_STRING(`1969-07-20T20:18:01.5+08:00`, 'HH:mm:ss.SSS xxxx')", '20:18:01.500 +0800'],
    ["TO_TIMESTAMP('2007-02-23T12:14:33.079-08:00')", '2007-02-23T12:14:33.079-08:00'],
    ["CAST('2007T' AS TIMESTAMP) < `2007-01-02T`", 'true'],
    ['DATE_DIFF(hour, UTCNOW(), DATE_ADD(day, 1, UTCNOW()))', '24'],
  ]
  for (const [expression, value] of cases) t.equal(textOf(expression), value, expression)
})

t.test('what cannot be asked, or comes to nothing, is told by its code', async (t) => {
  const cases: readonly (readonly [sql: string, code: string])[] = [
    ['', 'ParseUnsupportedSelect'],
    ['SELECT FROM S3Object', 'ParseEmptySelect'],
    ['SELECT *, _1 FROM S3Object', 'ParseAsteriskIsNotAloneInSelectList'],
    ['SELECT _1 AS FROM S3Object', 'ParseExpectedIdentForAlias'],
    ['SELECT _1 FROM S3Object WHERE', 'ParseExpectedExpression'],
    ['SELECT _1 FROM S3Object LIMIT x', 'ParseExpectedNumber'],
    ['SELECT _1 FROM S3Object, S3Object', 'ParseUnsupportedSyntax'],
    ['SELECT (SELECT 1) FROM S3Object', 'ParseUnsupportedSelect'],
    ['SELECT CAST(_1 AS BLOB) FROM S3Object', 'ParseExpectedTypeName'],
    ['SELECT CAST(_1) FROM S3Object', 'ParseCastArity'],
    ['SELECT SUM(*) FROM S3Object', 'ParseUnsupportedCallWithStar'],
    ['SELECT SUM(_1, _2) FROM S3Object', 'ParseNonUnaryAggregateFunctionCall'],
    ['SELECT EXTRACT(era FROM UTCNOW()) FROM S3Object', 'ParseExpectedDatePart'],
    ['SELECT CASE _1 END FROM S3Object', 'ParseExpectedWhenClause'],
    ['SELECT LOWER() FROM S3Object', 'EvaluatorInvalidArguments'],
    ['SELECT _1 FROM S3Object WHERE COUNT(*) > 1', 'UnsupportedSqlStructure'],
    ['SELECT _1, COUNT(*) FROM S3Object', 'UnsupportedSqlStructure'],
    ['SELECT MAX(MIN(_1)) FROM S3Object', 'UnsupportedSqlStructure'],
    ['SELECT constructor(1) FROM S3Object', 'UnsupportedFunction'],
    ['SELECT # FROM S3Object', 'LexerInvalidChar'],
    ['SELECT 1x FROM S3Object', 'LexerInvalidLiteral'],
    ['SELECT `{}` FROM S3Object', 'LexerInvalidIONLiteral'],
    [`SELECT ${'('.repeat(300)}1${')'.repeat(300)} FROM S3Object`, 'UnsupportedSqlStructure'],
    [`SELECT 1${'+1'.repeat(9000)} FROM S3Object`, 'UnsupportedSqlStructure'],
    [`SELECT ${'- '.repeat(1000)}1 FROM S3Object`, 'UnsupportedSqlStructure'],
    [`SELECT ${'/*'.repeat(100_000)}`, 'LexerInvalidLiteral'],
    ['SELECT name FROM S3Object', 'MissingHeaders'],
    ['SELECT _0 FROM S3Object', 'InvalidColumnIndex'],
    ['SELECT s.a.b FROM S3Object s', 'ParseInvalidPathComponent'],
    ['SELECT x._1 FROM S3Object s', 'InvalidTableAlias'],
    ['SELECT _1 + 1 FROM S3Object', 'CastFailed'],
    ['SELECT 1 / 0 FROM S3Object', 'IllegalSqlFunctionArgument'],
    ['SELECT 9223372036854775807 + 1 FROM S3Object', 'IntegerOverflow'],
    ["SELECT 'a' LIKE 'a$' ESCAPE '$' FROM S3Object", 'LikeInvalidInputs'],
    ["SELECT TO_TIMESTAMP('2007-02-30T') FROM S3Object", 'ValueParseFailure'],
    ['SELECT DATE_ADD(year, 9000, `2010T`) FROM S3Object', 'IllegalSqlFunctionArgument'],
    [
      "SELECT TO_STRING(UTCNOW(), 'QQ') FROM S3Object",
      'EvaluatorInvalidTimestampFormatPatternSymbol',
    ],
  ]
  for (const [sql, code] of cases) t.equal(select(sql, 'a,1\n'), code, sql.slice(0, 60))
})

t.test('aggregates are of the rows that are chosen, and one row', async (t) => {
  const data = '1,x\n2,y\n10,\n'
  const all = 'SELECT COUNT(*), SUM(_1), AVG(_1), MIN(_1), MAX(_1) + 1, MIN(_2) FROM S3Object'
  t.equal(select(all, data), '3,13,4.3333333333333333333333333333333333333,1,11,\n')
  t.equal(select(`${all} WHERE _1 > 100`, data), '0,,,,,\n')
  t.equal(select('SELECT COUNT(_3) FROM S3Object', data), '0\n')
  t.equal(select('SELECT COUNT(*) AS n FROM S3Object', '', { output: TO_JSON }), '{"n":0}\n')
  t.equal(select('SELECT SUM(_2) FROM S3Object', data), 'CastFailed')
})

t.test('paths of JSON lead to what is there, and to nothing elsewhere', async (t) => {
  const rules = '{"Rules":[{"id":"1"},{"expr":"y > x"},{"id":"2","expr":"z"}]}'
  const data = `${rules}{"created":"June 27","size":1.50,"n":{"N":[1,[2]]}}`
  const cases: readonly (readonly [sql: string, rows: readonly string[]])[] = [
    ['SELECT id FROM S3Object[*].Rules[*].id', ['{"id":"1"}', '{}', '{"id":"2"}', '{}']],
    ['SELECT * FROM S3Object[*].rules[1] r', ['{"expr":"y > x"}', '{"_1":null}'].slice(0, 1)],
    ['SELECT s.Rules[2].id, s.created FROM S3Object s', ['{"id":"2"}', '{"created":"June 27"}']],
    ['SELECT _1.size FROM S3Object WHERE _1.size = 1.5', ['{"size":1.5}']],
    ['SELECT s."rules" FROM S3Object s LIMIT 1', ['{}']],
    ["SELECT s.n['N'][1][0] AS x FROM S3Object s WHERE s.created LIKE 'J%'", ['{"x":2}']],
    ['SELECT s.* FROM S3Object s WHERE s.n.n[0] = 1', [data.slice(rules.length)]],
  ]
  for (const pieceBytes of [1, 5, 1000]) {
    for (const [sql, rows] of cases) {
      const got = select(sql, data, { input: JSON_INPUT, output: TO_JSON, pieceBytes })
      t.strictSame(got.split('\n').slice(0, rows.length), rows, sql)
    }
  }
  for (const bad of [
    '{"a":1',
    '{"a":01}',
    '{"a" 1}',
    '[1,]',
    '{"a":"\\x"}',
    '}',
    '"a" b',
    '['.repeat(600),
  ]) {
    const got = select('SELECT * FROM S3Object', bad, { input: JSON_INPUT, output: TO_JSON })
    t.equal(got, 'JSONParsingError', bad.slice(0, 20))
  }
})

t.test('any JSON comes out as it went in, however it comes', async (t) => {
  const seed = Date.now()
  t.comment(`seed ${seed}`)
  const document = fc.tuple(fc.json({ maxDepth: 3 }), fc.integer({ min: 1, max: 40 }))
  const property = fc.property(fc.array(document, { maxLength: 5 }), (documents) => {
    const text = documents.map(([json]) => `{"v":${json}}`).join('\n')
    const pieceBytes = documents[0]?.[1] ?? 1
    const asked = { input: JSON_INPUT, output: TO_JSON, pieceBytes }
    const whole = select('SELECT * FROM S3Object', text, asked)
    const field = select('SELECT s.v FROM S3Object s', text, asked)
    const values = (lines: string) =>
      lines === ''
        ? []
        : lines
            .slice(0, -1)
            .split('\n')
            .map((line) => JSON.parse(line) as unknown)
    const wanted = documents.map(([json]) => ({ v: JSON.parse(json) as unknown }))
    const isSame = JSON.stringify(values(whole)) === JSON.stringify(wanted)
    return isSame && JSON.stringify(values(field)) === JSON.stringify(wanted)
  })
  fc.assert(property, { seed, numRuns: 200 })
})

t.test('any CSV comes out as it went in, however it comes', async (t) => {
  const seed = Date.now()
  t.comment(`seed ${seed}`)
  const field = fc.string({ unit: fc.constantFrom(...'ab1#; ,"\n😀é'), maxLength: 6 })
  const row = fc.array(field, { maxLength: 4 }).map((fields) => ['row', ...fields])
  const property = fc.property(
    fc.array(row, { maxLength: 8 }),
    fc.integer({ min: 1, max: 30 }),
    fc.boolean(),
    (rows, pieceBytes, isMarked) => {
      const lines = rows.map((fields) => fields.map(csvField).join(',')).join('\n')
      const text = `${isMarked ? '\ufeff' : ''}${lines}`
      const got = select('SELECT * FROM S3Object', text, { output: TO_JSON, pieceBytes })
      const values = got === '' ? [] : got.slice(0, -1).split('\n').map(fieldsOf)
      return JSON.stringify(values) === JSON.stringify(rows)
    },
  )
  fc.assert(property, { seed, numRuns: 500 })
})

function csvField(text: string): string {
  return /["\n,]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function fieldsOf(json: string): string[] {
  return Object.values(JSON.parse(json) as Record<string, string>)
}
