import t from 'tap'
import { formatBytes, parseBytes, parseConfig } from './config.ts'

const GOOD = {
  host: '127.0.0.1',
  port: 6200,
  segment: '64MiB',
  tls: false,
  level: 'warn',
  zones: ['a', 'b'],
  devices: [{ name: 'sda' }, { name: 'sdb' }],
}

function read(values: object) {
  const config = parseConfig(JSON.stringify(values), 'node.json')
  const result = {
    host: config.text('host'),
    port: config.integer('port', { min: 1, max: 65_535 }),
    segment: config.bytes('segment', { min: 4096, max: 2 ** 31, byDefault: 2 ** 20 }),
    tls: config.boolean('tls', true),
    level: config.oneOf('level', ['info', 'warn'], 'info'),
    zones: config.texts('zones'),
    devices: config.list('devices', (device) => device.text('name')),
  }
  config.end()
  return result
}

t.test('a whole file is read into typed values', async (t) => {
  t.strictSame(read(GOOD), { ...GOOD, segment: 64 * 2 ** 20, devices: ['sda', 'sdb'] })
})

t.test('settings left out have their defaults', async (t) => {
  t.strictSame(read({ host: 'h', port: 1, devices: [] }), {
    host: 'h',
    port: 1,
    segment: 2 ** 20,
    tls: true,
    level: 'info',
    zones: [],
    devices: [],
  })
})

t.test('what is wrong is named with its file', async (t) => {
  const cases: [object, string][] = [
    [{ ...GOOD, host: 7 }, 'node.json: host must be a text'],
    [{ ...GOOD, host: '' }, 'node.json: host must be a text'],
    [{ ...GOOD, host: undefined }, 'node.json: host is missing'],
    [{ ...GOOD, port: 0 }, 'node.json: port must be a whole number from 1 to 65535'],
    [{ ...GOOD, port: '80' }, 'node.json: port must be a whole number from 1 to 65535'],
    [{ ...GOOD, segment: 'big' }, 'node.json: segment must be a size from 4 KiB to 2 GiB'],
    [{ ...GOOD, segment: '1' }, 'node.json: segment must be a size from 4 KiB to 2 GiB'],
    [{ ...GOOD, tls: 'yes' }, 'node.json: tls must be true or false'],
    [{ ...GOOD, level: 'loud' }, 'node.json: level must be one of info, warn'],
    [{ ...GOOD, zones: 'a' }, 'node.json: zones must be a list of texts'],
    [{ ...GOOD, devices: {} }, 'node.json: devices must be a list'],
    [{ ...GOOD, devices: [1] }, 'node.json: devices[0]: must be an object'],
    [{ ...GOOD, devices: [{ name: 'a', x: 1 }] }, 'node.json: devices[0]: unknown setting x'],
    [{ ...GOOD, prot: 1 }, 'node.json: unknown setting prot'],
    [[], 'node.json: must be an object'],
  ]
  for (const [values, message] of cases) {
    t.throws(() => read(values), { code: 'BadConfig', status: 400, message }, message)
  }
  t.throws(() => parseConfig('{', 'x.json'), { message: /^x\.json: not JSON: / })
})

t.test('sizes are read and written', async (t) => {
  const cases: [string, number | null][] = [
    ['0', 0],
    ['512', 512],
    ['512B', 512],
    ['4KiB', 4096],
    ['4Ki', 4096],
    ['4kb', 4000],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['2t', 2e12],
    ['', null],
    ['-1', null],
    ['1.5', null],
    ['64 MiBs', null],
    ['99999999999999999999', null],
  ]
  for (const [text, bytes] of cases) t.equal(parseBytes(text), bytes, text)
  t.equal(formatBytes(0), '0 B')
  t.equal(formatBytes(64 * 2 ** 20), '64 MiB')
  t.equal(formatBytes(1.5 * 2 ** 30), '1.5 GiB')
})
