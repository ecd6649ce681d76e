import t from 'tap'
import { createLog, type LogLevel } from './log.ts'

const nowMs = () => Date.UTC(2026, 0, 2, 3, 4, 5, 6)

function setUp(options: { level?: LogLevel; bufferCharsMax?: number } = {}) {
  const writes: string[] = []
  const log = createLog({
    write: (text) => writes.push(text),
    nowMs,
    component: 'proxy',
    ...options,
  })
  const lines = () =>
    writes
      .join('')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { log, writes, lines }
}

t.test('a line is one JSON object with time, level, component, event and fields', async (t) => {
  const { log, lines } = setUp()
  log.info('request', { status: 201, path: '/v1/a"\n' })
  log.warn('slow')
  log.flush()
  t.strictSame(lines(), [
    {
      time: '2026-01-02T03:04:05.006Z',
      level: 'info',
      component: 'proxy',
      event: 'request',
      status: 201,
      path: '/v1/a"\n',
    },
    { time: '2026-01-02T03:04:05.006Z', level: 'warn', component: 'proxy', event: 'slow' },
  ])
})

t.test('lines of one turn are written together, after it', async (t) => {
  const { log, writes } = setUp()
  log.info('one')
  log.info('two')
  t.equal(writes.length, 0)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(writes.length, 1)
  log.info('three')
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(writes.length, 2)
})

t.test('the buffer is bounded within a turn', async (t) => {
  const { log, writes } = setUp({ bufferCharsMax: 1000 })
  for (let index = 0; index < 100; index++) log.info('line', { index })
  t.ok(writes.length >= 5, `${writes.length} writes`)
  t.ok(writes.every((text) => text.length < 1200))
})

t.test('levels below the chosen one are dropped', async (t) => {
  const { log, lines } = setUp({ level: 'error' })
  log.info('a')
  log.warn('b')
  log.error('c')
  log.flush()
  t.strictSame(
    lines().map((line) => line.event),
    ['c'],
  )
})

t.test('errors, big numbers and loops become text instead of throwing', async (t) => {
  const { log, lines } = setUp()
  const loop: Record<string, unknown> = {}
  loop.self = loop
  log.error('failed', { cause: Object.assign(new Error('no space'), { code: 'ENOSPC' }), big: 5n })
  log.warn('failed', { error: new Error('plain') })
  log.info('loop', { loop })
  log.flush()
  const [failed, plain, looped] = lines()
  t.match(failed, { cause: { message: 'no space', code: 'ENOSPC', stack: /log\.test/ }, big: '5' })
  t.strictSame(plain?.error, { message: 'plain' })
  t.match(looped, { unloggable: /circular/ })
})
