import { readTextFile, replaceFile } from '../common/whole-file.ts'
import type { Credentials } from './credentials.ts'

export interface CloudOptions {
  readonly credentials: Credentials
  /** Without `/v3`. */
  readonly identityUrl: string
  readonly region: string
  /** A certificate (PEM file) that clients need to be told of. */
  readonly certificateFile?: string
}

/** clouds.yaml for OpenStack's clients: `swiftlet` is the first project, `swiftlet-system` the whole. */
export function cloudsYaml({
  credentials,
  identityUrl,
  region,
  certificateFile,
}: CloudOptions): string {
  const [project, user] = credentials.user.split(':') as [string, string]
  const cloud = (name: string, scope: Readonly<Record<string, string>>) => [
    `  ${name}:`,
    '    auth:',
    ...Object.entries({
      auth_url: `${identityUrl}/v3`,
      username: user,
      password: credentials.password,
      user_domain_name: 'Default',
      ...scope,
    }).map(([key, value]) => `      ${key}: ${quoted(value)}`),
    `    region_name: ${quoted(region)}`,
    '    identity_api_version: 3',
    ...(certificateFile === undefined ? [] : [`    cacert: ${quoted(certificateFile)}`]),
  ]
  return [
    'clouds:',
    ...cloud('swiftlet', { project_name: project, project_domain_name: 'Default' }),
    ...cloud('swiftlet-system', { system_scope: 'all' }),
    '',
  ].join('\n')
}

/** Writes it; only the owner may read it, as there is a password in it. */
export async function writeClouds(path: string, options: CloudOptions): Promise<void> {
  await replaceFile(path, cloudsYaml(options), { mode: 0o600 })
}

/** The file with another password; nothing if it is not there. */
export async function changePassword(path: string, password: string): Promise<void> {
  const text = await readTextFile(path)
  if (text === null) return
  // A function: in a text `$` would mean something.
  const line = () => `      password: ${quoted(password)}`
  await replaceFile(path, text.replace(/^ {6}password: .*$/gm, line), { mode: 0o600 })
}

/** A JSON text is a YAML one, too. */
function quoted(text: string): string {
  return JSON.stringify(text)
}
