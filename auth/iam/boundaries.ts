/**
 * What bounds users and roles: a shared policy that they may do no more than, whatever other policies give them.
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutUserPermissionsBoundary.html and its neighbours.
 */
import { type IamEntityRow, iamEntities } from '../tables/iam.ts'
import { boundedBy, namedEntity } from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { ARN, required } from './iam-params.ts'

export const BOUNDARY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  PutUserPermissionsBoundary: (call) => setBoundary(call, 'user'),
  PutRolePermissionsBoundary: (call) => setBoundary(call, 'role'),
  DeleteUserPermissionsBoundary: (call) => deleteBoundary(call, 'user'),
  DeleteRolePermissionsBoundary: (call) => deleteBoundary(call, 'role'),
}

async function setBoundary(call: IamCall, kind: 'user' | 'role'): Promise<Record<string, never>> {
  const arn = required(call.params, 'PermissionsBoundary', ARN)
  await call.parts.state.transaction(async (tx) => {
    const row = await namedEntity(call, kind, tx)
    await iamEntities.put(tx, await boundedBy(call, { row, arn }, tx))
  })
  return {}
}

async function deleteBoundary(
  call: IamCall,
  kind: 'user' | 'role',
): Promise<Record<string, never>> {
  await call.parts.state.transaction(async (tx) => {
    const { boundary: _gone, ...row } = await namedEntity(call, kind, tx)
    await iamEntities.put(tx, row satisfies IamEntityRow)
  })
  return {}
}
