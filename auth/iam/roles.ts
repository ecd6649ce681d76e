import type { IamResult } from '../../common/iam.ts'
import type { IamEntityRow, IamRolePart } from '../tables/iam.ts'
import {
  changeEntity,
  createEntity,
  deleteEntity,
  listEntities,
  namedEntity,
  showBoundary,
  showEntity,
  showTags,
  tagList,
} from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { ANY_TEXT, DOCUMENT, optional, optionalNumber, required } from './iam-params.ts'
import { checkPolicy, TRUST_POLICY } from './policy-forms.ts'
import { addTags, removeTags } from './users.ts'

const SESSION_SECONDS = { min: 3600, max: 43_200 }

export const ROLE_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async CreateRole(call) {
    const { params } = call
    const role: IamRolePart = {
      trust: trustOf(required(params, 'AssumeRolePolicyDocument', DOCUMENT)),
      description: descriptionOf(call) ?? '',
      maxSessionSeconds:
        optionalNumber(params, 'MaxSessionDuration', SESSION_SECONDS) ?? SESSION_SECONDS.min,
    }
    const row = await createEntity(call, 'role', role)
    return { Role: { ...briefly(call, row), ...(await showMore(call, row)) } }
  },
  async GetRole(call) {
    const row = await namedEntity(call, 'role')
    return { Role: { ...showRole(call, row), ...(await showMore(call, row)) } }
  },
  ListRoles: (call) => listEntities(call, 'role', (row) => showRole(call, row), 'Roles'),
  async UpdateRole(call) {
    const seconds = optionalNumber(call.params, 'MaxSessionDuration', SESSION_SECONDS)
    const description = descriptionOf(call)
    await changeRole(call, (role) => ({
      ...role,
      ...(description !== undefined && { description }),
      ...(seconds !== undefined && { maxSessionSeconds: seconds }),
    }))
    return {}
  },
  async UpdateRoleDescription(call) {
    const description = descriptionOf(call) ?? ''
    const row = await changeRole(call, (role) => ({ ...role, description }))
    return { Role: showRole(call, row) }
  },
  async UpdateAssumeRolePolicy(call) {
    const trust = trustOf(required(call.params, 'PolicyDocument', DOCUMENT))
    await changeRole(call, (role) => ({ ...role, trust }))
    return {}
  },
  async DeleteRole(call) {
    await deleteEntity(call, 'role', async () => null)
    return {}
  },
  async ListRoleTags(call) {
    return { Tags: tagList(await namedEntity(call, 'role')), IsTruncated: false }
  },
  TagRole: (call) => addTags(call, 'role'),
  UntagRole: (call) => removeTags(call, 'role'),
}

function changeRole(
  call: IamCall,
  changed: (role: IamRolePart) => IamRolePart,
): Promise<IamEntityRow> {
  return changeEntity(call, 'role', (row) => ({ ...row, role: changed(row.role!) }))
}

function descriptionOf({ params }: IamCall): string | undefined {
  return params.Description === '' ? '' : optional(params, 'Description', ANY_TEXT)
}

function trustOf(document: string): string {
  checkPolicy(document, TRUST_POLICY)
  return document
}

/** As CreateRole shows it. */
function briefly(call: IamCall, row: IamEntityRow): IamResult {
  const trust = encodeURIComponent(row.role!.trust)
  return { ...showEntity(call, row), AssumeRolePolicyDocument: trust }
}

/** What lists leave out. */
async function showMore(call: IamCall, row: IamEntityRow): Promise<IamResult> {
  return { ...(await showBoundary(call, row)), ...showTags(row) }
}

function showRole(call: IamCall, row: IamEntityRow): IamResult {
  const { description, maxSessionSeconds } = row.role!
  return {
    ...briefly(call, row),
    ...(description !== '' && { Description: description }),
    MaxSessionDuration: maxSessionSeconds,
  }
}
