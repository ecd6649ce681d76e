import type { IdentityParts } from '../identity-parts.ts'
import type { IamEntityRow, IamPolicyRow } from '../tables/iam.ts'

type Settings = Pick<IdentityParts, 'settings'>

/** The storage account of a project: `AUTH_…`. */
export function storageAccount({ settings }: Settings, projectId: string): string {
  return settings.storageAccountPrefix + projectId
}

/** What ARNs call the account: that of the cloud has no name. */
export function accountIdOf(parts: Settings, projectId: string): string {
  return isCloud(parts, projectId) ? '' : storageAccount(parts, projectId)
}

/** Whether the project is the account whose policies are about the whole cloud. */
export function isCloud({ settings }: Settings, projectId: string): boolean {
  return projectId === settings.cloudProjectId
}

/** The project behind an account's id in an ARN; null if there can be none. */
export function projectOfAccountId({ settings }: Settings, accountId: string): string | null {
  if (accountId === '') return settings.cloudProjectId
  const { storageAccountPrefix: prefix } = settings
  return accountId.startsWith(prefix) ? accountId.slice(prefix.length) : null
}

export function rootArn(parts: Settings, projectId: string): string {
  return `arn:aws:iam::${accountIdOf(parts, projectId)}:root`
}

/** A whole project, as the cloud's account calls it. */
export function accountArn(parts: Settings, projectId: string): string {
  return `arn:aws:iam:::user/${storageAccount(parts, projectId)}`
}

export function entityArn(
  parts: Settings,
  { projectId, kind, path, name }: Pick<IamEntityRow, 'projectId' | 'kind' | 'path' | 'name'>,
): string {
  const type = kind === 'account' ? 'user' : kind
  return `arn:aws:iam::${accountIdOf(parts, projectId)}:${type}${path}${name}`
}

export function sessionArn(parts: Settings, role: IamEntityRow, session: string): string {
  const account = accountIdOf(parts, role.projectId)
  return `arn:aws:sts::${account}:assumed-role/${role.name}/${session}`
}

export function providerArn(parts: Settings, projectId: string, name: string): string {
  return `arn:aws:iam::${accountIdOf(parts, projectId)}:oidc-provider/${name}`
}

export function policyArn(
  parts: Settings,
  { projectId, path, name }: Pick<IamPolicyRow, 'projectId' | 'path' | 'name'>,
): string {
  return `arn:aws:iam::${accountIdOf(parts, projectId)}:policy${path}${name}`
}

/** `arn:aws:iam::ACCOUNT:role/path/NAME` in its parts; null if it is none. */
export function parseArn(
  arn: string,
): { readonly accountId: string; readonly type: string; readonly name: string } | null {
  const [, accountId, type, name] = /^arn:aws:iam::([^:]*):([a-z-]+)\/(.+)$/.exec(arn) ?? []
  return name === undefined ? null : { accountId: accountId!, type: type!, name }
}
