import { fileURLToPath } from 'node:url'

/**
 * The path of a module named without its extension, beside the calling one: `.ts` when run from source, `.js` from
 * dist. For programs that are started as processes, whose names the compiler does not rewrite.
 */
export function siblingPath(importMetaUrl: string, name: string): string {
  const extension = importMetaUrl.endsWith('.ts') ? '.ts' : '.js'
  return fileURLToPath(new URL(name + extension, importMetaUrl))
}
