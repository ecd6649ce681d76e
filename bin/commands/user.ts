import { resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { Command } from 'commander'
import { SPECIAL_GROUPS, type Users } from '../../auth/user.ts'
import { addUser, changeKey, randomKey, removeUser } from '../../auth/user-edit.ts'
import { readUsers, writeUsers } from '../../auth/users-file.ts'
import { ServiceError } from '../../common/errors.ts'
import { systemRandom as random } from '../../common/random.ts'
import { type DataPaths, dataPaths, readCredentials, writeCredentials } from '../data-folder.ts'
import { DEFAULT_DATA } from '../defaults.ts'
import { acquireLock } from '../process-lock.ts'

interface DataOption {
  readonly data: string
}

interface KeyOptions extends DataOption {
  readonly key?: string
  readonly keyStdin?: boolean
}

/** `user add|list|remove|passwd`: works on a running Swiftlet too, which follows the users file within a second. */
export function userCommand(): Command {
  return new Command('user')
    .description('add, list and remove users, change their keys')
    .addCommand(addCommand())
    .addCommand(listCommand())
    .addCommand(removeCommand())
    .addCommand(passwdCommand())
}

function addCommand(): Command {
  return withKeyOptions(new Command('add').argument('<account:name>'))
    .description('add a user; without a key a random one is made and printed')
    .option('--group <group...>', `groups: ${SPECIAL_GROUPS.join(', ')} or names for ACLs`, [])
    .option('--account <account>', 'storage account, instead of AUTH_ and the account')
    .action(
      async (
        name: string,
        options: KeyOptions & { readonly group: readonly string[]; readonly account?: string },
      ) => {
        const { key, made } = await chooseKey(options)
        const { group: groups, account } = options
        const user = { name, key, groups, ...(account === undefined ? {} : { account }) }
        await editUsers(options, (users) => addUser(users, user, random))
        console.log(made ? `added ${name}, key ${key}` : `added ${name}`)
      },
    )
}

function listCommand(): Command {
  return new Command('list')
    .description('list the users with their storage account and groups')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .action(async (options: DataOption) => {
      const users = await readUsers(pathsOf(options).users)
      for (const { name, account, groups } of users.values()) {
        console.log([name, account, ...groups].join(' '))
      }
    })
}

function removeCommand(): Command {
  return new Command('remove')
    .argument('<account:name>')
    .description('remove a user; its tokens become void, its data stays')
    .option('--data <folder>', 'the data folder', DEFAULT_DATA)
    .action(async (name: string, options: DataOption) => {
      await editUsers(options, (users) => Promise.resolve(removeUser(users, name)))
      console.log(`removed ${name}`)
    })
}

function passwdCommand(): Command {
  return withKeyOptions(new Command('passwd').argument('<account:name>'))
    .description("change a user's key; tokens it has become void")
    .action(async (name: string, options: KeyOptions) => {
      const { key, made } = await chooseKey(options)
      await editUsers(options, (users) => changeKey(users, { name, key }, random))
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

async function editUsers(
  options: DataOption,
  edit: (users: Users) => Promise<Users>,
): Promise<void> {
  const paths = pathsOf(options)
  // Says so where there is no such folder, before a lock is made in it.
  await readUsers(paths.users)
  const lock = acquireLock(paths.usersLock, 'the users file')
  try {
    await writeUsers(paths.users, await edit(await readUsers(paths.users)))
  } finally {
    lock.release()
  }
}

/** `swiftlet env` prints the administrator's password: it must be the one that works. */
async function followCredentials(
  paths: DataPaths,
  change: { readonly name: string; readonly key: string },
): Promise<void> {
  let credentials: Awaited<ReturnType<typeof readCredentials>>
  try {
    credentials = await readCredentials(paths)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'NoDataFolder') return
    throw error
  }
  if (credentials.user !== change.name) return
  await writeCredentials(paths, { ...credentials, password: change.key })
}

function pathsOf(options: DataOption): DataPaths {
  return dataPaths(resolve(options.data))
}
