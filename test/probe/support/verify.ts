import type { Finding, Ledger } from './ledger.ts'
import type { StoreClient } from './store-client.ts'

const READS_AT_ONCE = 16

/** The store settles at its start what a crash left in doubt, and a minute later what came up since. */
export const SETTLE_MS_MAX = 100_000

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
      const finding = await observe(client, ledger, { container: options.container, name })
      if (finding) findings.push(finding)
    }
  }
  await Promise.all(Array.from({ length: READS_AT_ONCE }, reader))
  return findings
}

async function observe(
  client: StoreClient,
  ledger: Ledger,
  item: { readonly container: string; readonly name: string },
): Promise<Finding | null> {
  try {
    return ledger.observe(item.name, await client.read(`/${item.container}/${item.name}`))
  } catch (error) {
    return { kind: 'unreadable', name: item.name, detail: String(error) }
  }
}

/**
 * All objects, then the container's listing row by row. Rows of operations that had no answer follow when the store
 * settles them: with `settleMsMax` the listing is asked again until they agree.
 */
export async function verifyAll(
  client: StoreClient,
  ledger: Ledger,
  options: { readonly container: string; readonly settleMsMax?: number },
): Promise<Finding[]> {
  const findings = await verifyObjects(client, ledger, options)
  const listing = await client.list(options.container)
  findings.push(...ledger.observeListing(listing, { allSettled: false }))
  if (options.settleMsMax === undefined) return findings
  return [
    ...findings,
    ...(await settledFindings(client, ledger, {
      container: options.container,
      waitMs: options.settleMsMax,
    })),
  ]
}

async function settledFindings(
  client: StoreClient,
  ledger: Ledger,
  options: { readonly container: string; readonly waitMs: number },
): Promise<Finding[]> {
  const endMs = performance.now() + options.waitMs
  for (;;) {
    const findings = ledger.observeListing(await client.list(options.container))
    if (findings.length === 0 || performance.now() > endMs) return findings
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}

/** `lost 3, stale 1`, or `none`. */
export function countFindings(findings: readonly Finding[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of findings) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ') || 'none'
}
