import { resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { Command } from 'commander'
import { SPECIAL_GROUPS } from '../../auth/user.ts'
import { randomKey } from '../../auth/user-edit.ts'
import { systemRandom as random } from '../../common/random.ts'
import { changePassword } from '../clouds-file.ts'
import { type DataPaths, dataPaths, readCredentials, writeCredentials } from '../data-folder.ts'
import { DEFAULT_DATA } from '../defaults.ts'
import { openUserBook, type UserBook } from '../users/user-book.ts'

interface DataOption {
  readonly data: string
}

interface KeyOptions extends DataOption {
  readonly key?: string
  readonly keyStdin?: boolean
}

/** `user add|list|remove|passwd`: works on a running Swiftlet too. */
export function userCommand(): Command {
  return new Command('user')
    .description('add, list and remove users, change their keys')
    .addCommand(addCommand())
    .addCommand(listCommand())
    .addCommand(removeCommand())
    .addCommand(passwdCommand())
}

interface AddOptions extends KeyOptions {
  readonly group: readonly string[]
  readonly role: readonly string[]
  readonly account?: string
}

function addCommand(): Command {
  return withKeyOptions(new Command('add').argument('<project:name>'))
    .description(
      'add a user with roles on a project; without a key a random one is made and printed',
    )
    .option('--role <role...>', 'roles on the project: member, reader, admin, ResellerAdmin, …', [])
    .option(
      '--group <group...>',
      `as in Swift's tempauth: ${SPECIAL_GROUPS.join(', ')} or names for ACLs`,
      [],
    )
    .option(
      '--account <account>',
      'storage account of a new project, instead of AUTH_ and its name',
    )
    .action(async (name: string, options: AddOptions) => {
      const { key, made } = await chooseKey(options)
      const { group: groups, role: roles, account } = options
      await withUsers(options, (users) => users.add({ name, key, groups, roles, account }))
      console.log(made ? `added ${name}, key ${key}` : `added ${name}`)
    })
}

function listCommand(): Command {
  return new Command('list')
    .description('list the users with their storage account and roles')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .action(async (options: DataOption) => {
      for (const { name, account, roles } of await withUsers(options, (users) => users.list())) {
        console.log([name, account, ...roles].join(' '))
      }
    })
}

function removeCommand(): Command {
  return new Command('remove')
    .argument('<project:name>')
    .description('remove a user; its tokens become void, its data stays')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .action(async (name: string, options: DataOption) => {
      await withUsers(options, (users) => users.remove(name))
      console.log(`removed ${name}`)
    })
}

function passwdCommand(): Command {
  return withKeyOptions(new Command('passwd').argument('<project:name>'))
    .description("change a user's key; tokens it has become void")
    .action(async (name: string, options: KeyOptions) => {
      const { key, made } = await chooseKey(options)
      await withUsers(options, (users) => users.setKey(name, key))
      await followCredentials(pathsOf(options), { name, key })
      console.log(made ? `changed ${name}, key ${key}` : `changed ${name}`)
    })
}

function withKeyOptions(command: Command): Command {
  return command
    .option('--key <key>', 'the key; seen by other users of this machine while the command runs')
    .option('--key-stdin', 'read the key from standard input')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
}

async function chooseKey(options: KeyOptions): Promise<{ key: string; made: boolean }> {
  if (options.key !== undefined) return { key: options.key, made: false }
  if (options.keyStdin !== true) return { key: randomKey(random), made: true }
  return { key: (await readAll(process.stdin)).replace(/\r?\n$/, ''), made: false }
}

async function withUsers<T>(
  options: DataOption,
  work: (users: UserBook) => Promise<T>,
): Promise<T> {
  const users = await openUserBook(pathsOf(options))
  try {
    return await work(users)
  } finally {
    await users.close()
  }
}

/** `swiftlet env` and clouds.yaml have the administrator's password: it must be the one that works. */
async function followCredentials(
  paths: DataPaths,
  change: { readonly name: string; readonly key: string },
): Promise<void> {
  const credentials = await readCredentials(paths)
  if (credentials.user !== change.name) return
  await writeCredentials(paths, { ...credentials, password: change.key })
  await changePassword(paths.clouds, change.key)
}

function pathsOf(options: DataOption): DataPaths {
  return dataPaths(resolve(options.data))
}
