import type { Finding, Ledger } from './ledger.ts'
import type { StoreClient } from './store-client.ts'

const READS_AT_ONCE = 16

/** Reads the objects (all of the ledger's, unless named) and holds bytes and states against the ledger. */
export async function verifyObjects(
  client: StoreClient,
  ledger: Ledger,
  options: { readonly container: string; readonly names?: readonly string[] },
): Promise<Finding[]> {
  const findings: Finding[] = []
  const names = [...(options.names ?? ledger.names())]
  const reader = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const finding = ledger.observe(name, await client.read(`/${options.container}/${name}`))
      if (finding) findings.push(finding)
    }
  }
  await Promise.all(Array.from({ length: READS_AT_ONCE }, reader))
  return findings
}

/** All objects, then the container's listing row by row. */
export async function verifyAll(
  client: StoreClient,
  ledger: Ledger,
  container: string,
): Promise<Finding[]> {
  const findings = await verifyObjects(client, ledger, { container })
  return [...findings, ...ledger.observeListing(await client.list(container))]
}

/** `lost 3, stale 1`, or `none`. */
export function countFindings(findings: readonly Finding[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of findings) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ') || 'none'
}
