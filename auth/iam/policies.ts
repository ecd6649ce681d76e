/** Policies that a user, a group or a role has: its own, and shared ones that are attached. */
import type { StateReader } from '../../common/state/state-store.ts'
import { type IamEntityRow, iamEntities } from '../tables/iam.ts'
import { projects } from '../tables/tables.ts'
import { authoriseEntity, KINDS, namedEntity, newEntity, pageOfNames } from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { limitExceeded, noSuchEntity } from './iam-error.ts'
import { ARN, DOCUMENT, POLICY_NAME, required } from './iam-params.ts'
import { MANAGED_POLICIES, policyName } from './managed-policies.ts'
import { checkPolicy, OWN_POLICY, ROLE_POLICY } from './policy-forms.ts'

type HolderKind = keyof typeof KINDS

/** Bytes of all policies of its own together, as AWS has them. */
const INLINE_BYTES_MAX: Readonly<Record<HolderKind, number>> = {
  user: 2048,
  group: 5120,
  role: 10_240,
}
const ATTACHED_MAX = 10

/** `PutUserPolicy`, `PutGroupPolicy`, `PutRolePolicy` and so on. */
export const POLICY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  ...actionsOf('user', 'User'),
  ...actionsOf('group', 'Group'),
  ...actionsOf('role', 'Role'),
  async ListPolicies(call) {
    authoriseAll(call)
    const arns = call.params.Scope === 'Local' ? [] : [...MANAGED_POLICIES.keys()]
    return { Policies: arns.map(showManaged), IsTruncated: false }
  },
  async GetPolicy(call) {
    return { Policy: showManaged(managedAsked(call)) }
  },
  async GetPolicyVersion(call) {
    const arn = managedAsked(call)
    if (call.params.VersionId !== 'v1') throw noSuchEntity('The policy version')
    const Document = encodeURIComponent(MANAGED_POLICIES.get(arn)!)
    return { PolicyVersion: { Document, VersionId: 'v1', IsDefaultVersion: true } }
  },
}

function actionsOf(kind: HolderKind, title: string): Readonly<Record<string, IamHandler>> {
  return {
    [`Put${title}Policy`]: (call) => putInline(call, kind),
    [`Get${title}Policy`]: (call) => getInline(call, kind),
    [`Delete${title}Policy`]: (call) => deleteInline(call, kind),
    async [`List${title}Policies`](call) {
      const { inline } = await holderAsked(call, kind)
      return pageOfNames(call, Object.keys(inline), 'PolicyNames')
    },
    [`Attach${title}Policy`]: (call) => attach(call, kind),
    [`Detach${title}Policy`]: (call) => detach(call, kind),
    async [`ListAttached${title}Policies`](call) {
      const { attached } = await holderAsked(call, kind)
      const shown = attached.map((arn) => ({ PolicyName: policyName(arn), PolicyArn: arn }))
      return { AttachedPolicies: shown, IsTruncated: false }
    },
  }
}

/** What the policies are of: an entity; or, in the cloud's account, a whole project by its storage account's name. */
async function holderAsked(
  call: IamCall,
  kind: HolderKind,
  reader: StateReader = call.parts.state,
): Promise<IamEntityRow> {
  const whole = kind === 'user' ? await wholeProject(call, reader) : null
  if (whole === null) return namedEntity(call, kind, reader)
  authoriseEntity(call, whole)
  return whole
}

async function wholeProject(call: IamCall, reader: StateReader): Promise<IamEntityRow | null> {
  const { cloudProjectId, storageAccountPrefix: prefix } = call.parts.settings
  const name = required(call.params, KINDS.user.param, KINDS.user.form)
  if (cloudProjectId === null || !name.startsWith(prefix)) return null
  const project = await projects.get(reader, name.slice(prefix.length))
  if (project === undefined || project.isDomain) return null
  const key = [cloudProjectId, 'account', name.toLowerCase()] as const
  const row = await iamEntities.get(reader, ...key)
  return row ?? newEntity(call, { projectId: cloudProjectId, kind: 'account', name })
}

async function changeHolder(
  call: IamCall,
  kind: HolderKind,
  changed: (row: IamEntityRow) => IamEntityRow,
): Promise<Record<string, never>> {
  await call.parts.state.transaction(async (tx) => {
    await iamEntities.put(tx, changed(await holderAsked(call, kind, tx)))
  })
  return {}
}

function putInline(call: IamCall, kind: HolderKind): Promise<Record<string, never>> {
  const { params } = call
  const name = required(params, 'PolicyName', POLICY_NAME)
  const document = required(params, 'PolicyDocument', DOCUMENT)
  return changeHolder(call, kind, (row) => {
    checkPolicy(document, kind === 'role' ? ROLE_POLICY : OWN_POLICY)
    const inline = { ...row.inline, [name]: document }
    const bytes = Object.values(inline).reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (bytes > INLINE_BYTES_MAX[kind])
      throw limitExceeded(`bytes of policies of a ${kind}: ${INLINE_BYTES_MAX[kind]}`)
    return { ...row, inline }
  })
}

async function getInline(call: IamCall, kind: HolderKind) {
  const row = await holderAsked(call, kind)
  const name = required(call.params, 'PolicyName', POLICY_NAME)
  return {
    [KINDS[kind].param]: row.name,
    PolicyName: name,
    PolicyDocument: encodeURIComponent(inlineOf(row, name)),
  }
}

function deleteInline(call: IamCall, kind: HolderKind): Promise<Record<string, never>> {
  const name = required(call.params, 'PolicyName', POLICY_NAME)
  return changeHolder(call, kind, (row) => {
    inlineOf(row, name)
    const { [name]: _gone, ...inline } = row.inline
    return { ...row, inline }
  })
}

function inlineOf(row: IamEntityRow, name: string): string {
  const document = Object.hasOwn(row.inline, name) ? row.inline[name] : undefined
  if (document === undefined) throw noSuchEntity(`The ${row.kind} policy with name ${name}`)
  return document
}

function attach(call: IamCall, kind: HolderKind): Promise<Record<string, never>> {
  const arn = required(call.params, 'PolicyArn', ARN)
  return changeHolder(call, kind, (row) => {
    if (!MANAGED_POLICIES.has(arn)) throw noSuchEntity(`Policy ${arn}`)
    const attached = [...new Set([...row.attached, arn])]
    if (attached.length > ATTACHED_MAX) throw limitExceeded(`attached policies: ${ATTACHED_MAX}`)
    return { ...row, attached }
  })
}

function detach(call: IamCall, kind: HolderKind): Promise<Record<string, never>> {
  const arn = required(call.params, 'PolicyArn', ARN)
  return changeHolder(call, kind, (row) => {
    if (!row.attached.includes(arn)) throw noSuchEntity(`Policy ${arn}`)
    return { ...row, attached: row.attached.filter((one) => one !== arn) }
  })
}

function authoriseAll(call: IamCall): void {
  const { projectId } = call.caller
  authoriseEntity(call, { projectId, kind: 'user', path: '/', name: '*' })
}

function managedAsked(call: IamCall): string {
  authoriseAll(call)
  const arn = required(call.params, 'PolicyArn', ARN)
  if (!MANAGED_POLICIES.has(arn)) throw noSuchEntity(`Policy ${arn}`)
  return arn
}

function showManaged(arn: string) {
  return {
    PolicyName: policyName(arn),
    Arn: arn,
    Path: '/',
    DefaultVersionId: 'v1',
    IsAttachable: true,
  }
}
