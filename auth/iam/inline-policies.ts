/** Policies of one user, group or role alone. */
import type { IamEntityRow } from '../tables/iam.ts'
import { KINDS, pageOfNames } from './entities.ts'
import type { IamCall, IamHandler } from './iam-call.ts'
import { limitExceeded, noSuchEntity } from './iam-error.ts'
import { DOCUMENT, POLICY_NAME, required } from './iam-params.ts'
import { checkPolicy, OWN_POLICY, ROLE_POLICY } from './policy-forms.ts'
import { changeHolder, HOLDER_TITLES, type HolderKind, holderAsked } from './policy-holders.ts'

/** Bytes of all policies of its own together, as AWS has them. */
const INLINE_BYTES_MAX: Readonly<Record<HolderKind, number>> = {
  user: 2048,
  group: 5120,
  role: 10_240,
}

/** `PutUserPolicy`, `PutGroupPolicy`, `PutRolePolicy` and so on. */
export const INLINE_POLICY_ACTIONS: Readonly<Record<string, IamHandler>> = {
  ...actionsOf('user'),
  ...actionsOf('group'),
  ...actionsOf('role'),
}

function actionsOf(kind: HolderKind): Readonly<Record<string, IamHandler>> {
  const title = HOLDER_TITLES[kind]
  return {
    [`Put${title}Policy`]: (call) => putInline(call, kind),
    [`Get${title}Policy`]: (call) => getInline(call, kind),
    [`Delete${title}Policy`]: (call) => deleteInline(call, kind),
    async [`List${title}Policies`](call) {
      const { inline } = await holderAsked(call, kind)
      return pageOfNames(call, Object.keys(inline), 'PolicyNames')
    },
  }
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
