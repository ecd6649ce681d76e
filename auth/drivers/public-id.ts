import { createHash } from 'node:crypto'

export type DirectoryKind = 'user' | 'group'

/**
 * The id that the API knows somebody of a directory by: 64 hex digits, those that Keystone makes
 * (keystone/identity/id_generators/sha256.py), so that assignments made there stay valid.
 */
export function publicId(domainId: string, kind: DirectoryKind, localId: string): string {
  return createHash('sha256').update(domainId).update(kind).update(localId).digest('hex')
}
