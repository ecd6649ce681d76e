import t from 'tap'
import { makePamAccounts, PWDFILE_RULES, pamMissing } from '../../test/support/pam-accounts.ts'
import { openPamDriver } from './pam-driver.ts'

/** Of `sécret wörd`. */
const HASH =
  '$6$abcdefgh$vzwMQWF6nzRkP1Od290b6zSS8A8/2WBZPfffIYuURJ1YCruYApG9KdtsOOAtrh5djiY9OOmlDeiT10U/AvIhh1'
const PASSWORD = 'sécret wörd'

const ACCOUNTS = [
  'root:x:0:0:root:/:/bin/sh',
  'daemon:x:1:1::/:/bin/sh',
  'ann:x:1001:1001:Ann Smith,room 1:/:/bin/sh',
  'bob:x:1002:1600::/:/bin/sh',
  'expired:x:1003:1001::/:/bin/sh',
  'nobody:x:65534:65534::/:/bin/sh',
]

t.test('options that cannot be worked with are refused', async (t) => {
  for (const options of [
    { service: '../shadow' },
    { service: '' },
    { uid_min: 'x' },
    { uid_max: -1 },
  ]) {
    t.throws(() => openPamDriver(options), { code: 'DirectoryUnfit', status: 503 })
  }
})

t.test('programs that are not there, or do not end, are 503', async (t) => {
  const absent = openPamDriver({}, { env: { PATH: '/nowhere' } })
  await t.rejects(absent.findUser('ann'), { code: 'DirectoryUnavailable', status: 503 })
})

t.test('with accounts', { skip: pamMissing() }, async (t) => {
  const { env, setAccounts } = await makePamAccounts(t, {
    passwd: ACCOUNTS,
    group: [
      'root:x:0:',
      'ann:x:1001:',
      'staff:x:1500:ann,bob,gone',
      'bobs:x:1600:',
      'ann2:x:1700:ann',
    ],
    passwords: ['root', 'ann', 'bob', 'expired', '-x'].map((name) => `${name}:${HASH}`),
    rules: {
      swiftlet: PWDFILE_RULES,
      expiring: PWDFILE_RULES.replace('pam_permit.so', 'pam_deny.so'),
      broken: 'auth required pam_none.so\naccount required pam_permit.so\n',
      other: 'auth required pam_deny.so\naccount required pam_deny.so\n',
    },
  })
  const driver = openPamDriver({}, { env })

  t.test('accounts are users, but for those of the system', async (t) => {
    const ann = { localId: 'ann', name: 'ann', enabled: true, description: 'Ann Smith' }
    t.strictSame(await driver.findUser('ann'), ann)
    t.strictSame(await driver.findUserByName('ann'), ann)
    t.strictSame(
      (await driver.listUsers()).entries.map(({ name }) => name),
      ['ann', 'bob', 'expired'],
    )
    const odd = [
      'root',
      '0',
      '1001',
      'nobody',
      '',
      '-x',
      '--help',
      'a b',
      'ann:x',
      'ann\n',
      'x\0',
      'ann,bob',
      'ä'.repeat(200),
    ]
    for (const name of odd) t.equal(await driver.findUser(name), null, JSON.stringify(name))
  })

  t.test('groups are those of the accounts', async (t) => {
    const names = (items: readonly { readonly name: string }[]) => items.map(({ name }) => name)
    t.strictSame(names((await driver.listGroups()).entries), ['ann', 'staff', 'bobs', 'ann2'])
    t.strictSame(names(await driver.groupsOfUser('ann')).sort(), ['ann', 'ann2', 'staff'])
    t.strictSame(names(await driver.groupsOfUser('bob')).sort(), ['bobs', 'staff'])
    t.strictSame(await driver.groupsOfUser('root'), [])
    t.strictSame(names(await driver.usersOfGroup('staff')), ['ann', 'bob'])
    t.strictSame(names(await driver.usersOfGroup('ann')), ['ann', 'expired'])
    t.strictSame(await driver.usersOfGroup('none'), [])
    t.strictSame(await driver.findGroup('staff'), { localId: 'staff', name: 'staff' })
    for (const name of ['root', '1500', '-x', '']) t.equal(await driver.findGroup(name), null, name)
  })

  t.test('passwords are those that PAM takes', async (t) => {
    t.equal(await driver.checkPassword('ann', PASSWORD), true)
    const wrong = [
      '',
      'x',
      `${PASSWORD}\n`,
      `${PASSWORD}\nx`,
      `${PASSWORD}\0`,
      `${PASSWORD} `,
      'x'.repeat(511),
      'x'.repeat(5000),
    ]
    // PAM answers them late, on purpose.
    const taken = await Promise.all(wrong.map((password) => driver.checkPassword('ann', password)))
    t.strictSame(
      taken,
      wrong.map(() => false),
    )
    for (const name of ['root', 'none', '-x', '']) {
      t.equal(await driver.checkPassword(name, PASSWORD), false, `nor of ${name}`)
    }
    const expiring = openPamDriver({ service: 'expiring' }, { env })
    t.equal(await expiring.checkPassword('ann', PASSWORD), false, 'an account that may not sign in')
    const unknown = openPamDriver({ service: 'none' }, { env })
    t.equal(await unknown.checkPassword('ann', PASSWORD), false, 'a service that is not there')
    const broken = openPamDriver({ service: 'broken' }, { env })
    await t.rejects(broken.checkPassword('ann', PASSWORD), { code: 'DirectoryUnavailable' })
  })

  t.test('an account that is gone is nobody', async (t) => {
    await setAccounts(ACCOUNTS.filter((line) => !line.startsWith('bob')))
    t.equal(await driver.findUser('bob'), null)
    t.equal(await driver.checkPassword('bob', PASSWORD), false)
  })
})
