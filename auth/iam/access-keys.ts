import type { IamResult } from '../../common/iam.ts'
import { parseAccessKey } from '../api/credentials.ts'
import { findAccessKey, keepNewAccessKey } from '../api/ec2-credentials.ts'
import { deleteCredential } from '../removal/credential-removal.ts'
import { openBlob } from '../secrets/credential-blobs.ts'
import { sealSecret } from '../secrets/sealed-rows.ts'
import { type CredentialRow, credentials, EC2_TYPE, INACTIVE } from '../tables/credentials.ts'
import { type IamEntityRow, type IamKeyRow, iamKeys } from '../tables/iam.ts'
import { rootArn } from './arns.ts'
import { authorise, type IamCall, type IamHandler } from './iam-call.ts'
import { limitExceeded, noSuchEntity, unknownKey, validationError } from './iam-error.ts'
import { accessKeyId, secretKey } from './iam-ids.ts'
import { ANY_TEXT, required } from './iam-params.ts'
import { userAsked } from './users.ts'

/** Of a user; AWS has as many. */
const KEYS_MAX = 2

/** A key as lists show it. */
interface ShownKey {
  readonly id: string
  readonly userName: string
  readonly active: boolean
  readonly createdMs: number
}

/** Keys of IAM's users; a call of an account's root that names no user is about keys of his that Keystone keeps. */
export const KEY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async CreateAccessKey(call) {
    const user = await userAsked(call)
    return { AccessKey: user === null ? await createOwn(call) : await createFor(call, user) }
  },
  async ListAccessKeys(call) {
    const user = await userAsked(call)
    const keys = user === null ? await ownKeys(call) : await keysOf(call, user)
    const shown = [...keys].sort((a, b) => (a.id < b.id ? -1 : 1)).map(showKey)
    return { AccessKeyMetadata: shown, IsTruncated: false }
  },
  async UpdateAccessKey(call) {
    const user = await userAsked(call)
    const status = call.params.Status
    if (status !== 'Active' && status !== 'Inactive')
      throw validationError("Value at 'Status' must be Active or Inactive.")
    const active = status === 'Active'
    if (user === null) await changeOwn(call, active)
    else await changeKeyOf(call, user, active)
    return {}
  },
  async DeleteAccessKey(call) {
    const user = await userAsked(call)
    const id = required(call.params, 'AccessKeyId', ANY_TEXT)
    const { state } = call.parts
    if (user === null) {
      const row = await ownKey(call, id)
      await state.transaction((tx) => deleteCredential({ tx }, row.id))
      return {}
    }
    await state.transaction(async (tx) => {
      const row = await iamKeys.get(tx, id)
      if (row?.userId !== user.id) throw noSuchKey(id)
      await iamKeys.delete(tx, id)
    })
    return {}
  },
}

async function createFor(call: IamCall, user: IamEntityRow): Promise<IamResult> {
  const { parts } = call
  const id = accessKeyId(parts.random, 'AKIA')
  const secret = secretKey(parts.random)
  const row: IamKeyRow = {
    id,
    projectId: user.projectId,
    userId: user.id,
    sealedSecret: sealSecret(parts, { table: iamKeys, id }, secret),
    active: true,
    createdMs: parts.clock.nowMs(),
  }
  await parts.state.transaction(async (tx) => {
    const keys = await iamKeys.by(tx, 'user', user.id)
    if (keys.length >= KEYS_MAX) throw limitExceeded(`access keys of a user: ${KEYS_MAX}`)
    await iamKeys.put(tx, row)
  })
  return { ...showKey({ ...row, userName: user.name }), SecretAccessKey: secret }
}

async function keysOf(call: IamCall, user: IamEntityRow): Promise<readonly ShownKey[]> {
  const rows = await iamKeys.by(call.parts.state, 'user', user.id)
  return rows.map((row) => ({ ...row, userName: user.name }))
}

async function changeKeyOf(call: IamCall, user: IamEntityRow, active: boolean): Promise<void> {
  const id = required(call.params, 'AccessKeyId', ANY_TEXT)
  await call.parts.state.transaction(async (tx) => {
    const row = await iamKeys.get(tx, id)
    if (row?.userId !== user.id) throw noSuchKey(id)
    await iamKeys.put(tx, { ...row, active })
  })
}

async function createOwn(call: IamCall): Promise<IamResult> {
  const { parts, caller } = call
  const { userId } = signedWith(call)
  const more = { createdMs: parts.clock.nowMs() }
  const { projectId } = caller
  const { row, secret } = await keepNewAccessKey(parts, { userId, projectId, more })
  return { ...showOwn(call, row), SecretAccessKey: secret }
}

async function ownKeys(call: IamCall): Promise<readonly ShownKey[]> {
  const { userId } = signedWith(call)
  const rows = await credentials.by(call.parts.state, 'user', userId, EC2_TYPE)
  const own = rows.filter((row) => row.projectId === call.caller.projectId)
  return own.map((row) => shownOwn(call, row))
}

async function changeOwn(call: IamCall, active: boolean): Promise<void> {
  const { id } = await ownKey(call, required(call.params, 'AccessKeyId', ANY_TEXT))
  await call.parts.state.transaction(async (tx) => {
    const row = await credentials.get(tx, id)
    if (row === undefined) throw noSuchKey(id)
    const { [INACTIVE]: _gone, ...rest } = row.extra
    await credentials.put(tx, { ...row, extra: active ? rest : { ...rest, [INACTIVE]: true } })
  })
}

async function ownKey(call: IamCall, access: string): Promise<CredentialRow> {
  const { userId } = signedWith(call)
  const row = await findAccessKey(call.parts, access)
  if (row?.userId !== userId || row.projectId !== call.caller.projectId) throw noSuchKey(access)
  return row
}

/** The key that the root has signed with; what is asked for is his own, which he may. */
function signedWith(call: IamCall): CredentialRow {
  const { parts, caller } = call
  authorise(call, { projectId: caller.projectId, arn: rootArn(parts, caller.projectId) })
  if (caller.credential === undefined) throw unknownKey()
  return caller.credential
}

function showOwn(call: IamCall, row: CredentialRow): IamResult {
  return showKey(shownOwn(call, row))
}

function shownOwn({ parts, caller }: IamCall, row: CredentialRow): ShownKey {
  const blob = parseAccessKey(openBlob(parts, row)) as unknown as Readonly<Record<string, unknown>>
  return {
    id: String(blob.access),
    userName: caller.principal.account,
    active: row.extra[INACTIVE] !== true,
    createdMs: typeof blob.createdMs === 'number' ? blob.createdMs : 0,
  }
}

function showKey({ id, userName, active, createdMs }: ShownKey): IamResult {
  return {
    UserName: userName,
    AccessKeyId: id,
    Status: active ? 'Active' : 'Inactive',
    CreateDate: new Date(createdMs).toISOString(),
  }
}

function noSuchKey(id: string) {
  return noSuchEntity(`The Access Key with id ${id}`)
}
