/** Whom policies are of, and what hangs on a policy. */
import type { StateReader, StateTransaction } from '../../common/state/state-store.ts'
import { type IamEntityRow, iamEntities, isOwnPolicy } from '../tables/iam.ts'
import { projects } from '../tables/tables.ts'
import { authoriseEntity, KINDS, namedEntity, newEntity } from './entities.ts'
import type { IamCall } from './iam-call.ts'
import { validationError } from './iam-error.ts'
import { required } from './iam-params.ts'

/** What can have policies. */
export type HolderKind = keyof typeof KINDS

/** Its name as actions have it. */
export const HOLDER_TITLES = { user: 'User', group: 'Group', role: 'Role' } as const

/** What the policies are of: an entity; or, in the cloud's account, a whole project by its storage account's name. */
export async function holderAsked(
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
  const key = [cloudProjectId, 'account', name.toLowerCase()] as const
  const row = await iamEntities.get(reader, ...key)
  // What hangs on a project that is gone can still be taken away.
  if (row !== undefined) return row
  const project = await projects.get(reader, name.slice(prefix.length))
  if (project === undefined || project.isDomain) return null
  return newEntity(call, { projectId: cloudProjectId, kind: 'account', name })
}

/** Changes it, as it is at that moment. */
export async function changeHolder(
  call: IamCall,
  kind: HolderKind,
  changed: (row: IamEntityRow, tx: StateTransaction) => IamEntityRow | Promise<IamEntityRow>,
): Promise<Record<string, never>> {
  await call.parts.state.transaction(async (tx) => {
    await iamEntities.put(tx, await changed(await holderAsked(call, kind, tx), tx))
  })
  return {}
}

/** How often a policy is used. */
export interface PolicyUses {
  readonly attachments: number
  readonly boundaries: number
}

/** What a policy may be used as. */
const USAGES = ['PermissionsPolicy', 'PermissionsBoundary'] as const
export type PolicyUsage = (typeof USAGES)[number]

/** `PolicyUsageFilter`; undefined: whatever they are used as. */
export function usageAsked({ PolicyUsageFilter: usage }: IamCall['params']) {
  const known = USAGES.find((one) => one === usage)
  if (usage !== undefined && known === undefined)
    throw validationError(`Value at 'PolicyUsageFilter' must be one of ${USAGES}.`)
  return known
}

export function isUsedAs({ attachments, boundaries }: PolicyUses, usage?: PolicyUsage): boolean {
  return (
    (attachments > 0 && usage !== 'PermissionsBoundary') ||
    (boundaries > 0 && usage !== 'PermissionsPolicy')
  )
}

const UNUSED: PolicyUses = { attachments: 0, boundaries: 0 }

/** Who in the account has the policy, or is bounded by it. */
export async function holdersOf(
  reader: StateReader,
  { projectId, ref }: { readonly projectId: string; readonly ref: string },
): Promise<readonly IamEntityRow[]> {
  if (isOwnPolicy(ref)) return iamEntities.by(reader, 'policy', ref)
  const found: IamEntityRow[] = []
  for await (const page of iamEntities.pages(reader, { prefix: [projectId] })) {
    found.push(...page.filter((row) => row.attached.includes(ref) || row.boundary === ref))
  }
  return found
}

/** How often the holders use it. */
export function usesBy(holders: readonly IamEntityRow[], ref: string): PolicyUses {
  return {
    attachments: holders.filter(({ attached }) => attached.includes(ref)).length,
    boundaries: holders.filter(({ boundary }) => boundary === ref).length,
  }
}

/** How often each policy is used in the account, by its ref. */
export async function allUses(
  reader: StateReader,
  projectId: string,
): Promise<(ref: string) => PolicyUses> {
  const uses = new Map<string, PolicyUses>()
  const usesOf = (ref: string) => uses.get(ref) ?? UNUSED
  for await (const page of iamEntities.pages(reader, { prefix: [projectId] })) {
    for (const { attached, boundary } of page) {
      for (const ref of attached) {
        uses.set(ref, { ...usesOf(ref), attachments: usesOf(ref).attachments + 1 })
      }
      if (boundary !== undefined)
        uses.set(boundary, { ...usesOf(boundary), boundaries: usesOf(boundary).boundaries + 1 })
    }
  }
  return usesOf
}
