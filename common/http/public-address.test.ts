import t from 'tap'
import { isPublicAddress, publicLookup } from './public-address.ts'

t.test('addresses of the internet are told from those of a network of one’s own', async (t) => {
  const good = ['8.8.8.8', '1.1.1.1', '172.32.0.1', '2606:4700::1111', '223.255.255.1']
  const bad = [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '10.1.2.3',
    '100.100.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fd00::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:8.8.8.8',
    '0:0:0:0:0:ffff:7f00:1',
    '::ffff:0:127.0.0.1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'localhost',
    '',
    '8.8.8',
  ]
  for (const address of good) t.ok(isPublicAddress(address), address)
  for (const address of bad) t.notOk(isPublicAddress(address), address)
})

t.test('a name of this machine leads nowhere', async (t) => {
  for (const all of [true, false]) {
    const error = await new Promise((resolve) => {
      publicLookup('localhost', { all }, (found) => resolve(found))
    })
    t.match(error, { code: 'EACCES' })
  }
})
