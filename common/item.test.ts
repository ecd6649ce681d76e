import t from 'tap'
import { accountName, containerName, itemKey, objectName, splitName } from './item.ts'

interface Case {
  readonly name: string
  readonly prefix: string
  readonly suffix: string
  readonly md5: string
  /** Of a ring with 2^18 partitions. */
  readonly partition: number
}

// From Swift's own formula: d = hashlib.md5((prefix + name + suffix).encode()).digest(), then
// struct.unpack('>I', d[:4])[0] >> (32 - 18).
const CASES: readonly Case[] = [
  {
    name: '/AUTH_test',
    prefix: '',
    suffix: '',
    md5: '50556319ff183c6ba65df78853cf2eca',
    partition: 82261,
  },
  {
    name: '/AUTH_test/c',
    prefix: '',
    suffix: 'changeme',
    md5: '26e5f92ddb812f3a145582033a81302f',
    partition: 39831,
  },
  {
    name: '/AUTH_test/c/o',
    prefix: 'pre',
    suffix: 'changeme',
    md5: 'a4a9276efd64db9d09505b3843e6c351',
    partition: 168612,
  },
  {
    name: '/AUTH_test/c/é/\u{1f600} b',
    prefix: '',
    suffix: 'changeme',
    md5: '3b447e7a933aa4f740e0b2224c573d85',
    partition: 60689,
  },
  {
    name: '/a/b/c/',
    prefix: 'é',
    suffix: '\ufffd',
    md5: '6f33405c2532d535e35eb3b25cd68b21',
    partition: 113869,
  },
]

t.test('a name lies where Swift puts it, with placement md5', async (t) => {
  for (const { name, prefix, suffix, md5, partition } of CASES) {
    const key = itemKey({ prefix, suffix, placement: 'md5' }, 'object', name, 2)
    t.equal(Buffer.from(key.hash, 'latin1').toString('hex'), md5, name)
    t.equal(key.hash.length, 16)
    t.equal(key.placement >>> (32 - 18), partition)
    t.equal(key.placement, Number.parseInt(md5.slice(0, 8), 16))
    t.strictSame([key.kind, key.name, key.policy], ['object', name, 2])
  }
})

t.test('another placement changes the place, not the identity', async (t) => {
  for (const { name, prefix, suffix, md5 } of CASES) {
    const key = itemKey({ prefix, suffix, placement: 'xxh64' }, 'container', name)
    t.equal(Buffer.from(key.hash, 'latin1').toString('hex'), md5)
    t.not(key.placement, Number.parseInt(md5.slice(0, 8), 16))
    t.ok(Number.isInteger(key.placement) && key.placement >= 0 && key.placement < 2 ** 32)
    t.equal(key.policy, 0)
  }
})

t.test('names are put together and taken apart', async (t) => {
  t.equal(accountName('a'), '/a')
  t.equal(containerName('a', 'c'), '/a/c')
  t.strictSame(splitName('/a'), { account: 'a' })
  t.strictSame(splitName('/a/c'), { account: 'a', container: 'c' })
  for (const object of ['o', 'o/p', '/', '//x', 'o/', ' ', 'é\u{1f600}']) {
    const parts = splitName(objectName('a', 'c', object))
    t.strictSame(parts, { account: 'a', container: 'c', object })
  }
})
