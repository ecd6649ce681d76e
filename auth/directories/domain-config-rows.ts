import type { StateReader, StateStore, StateTransaction } from '../../common/state/state-store.ts'
import type { IdentityParts } from '../identity-parts.ts'
import { openSecret, sealSecret } from '../secrets/sealed-rows.ts'
import type { Extra } from '../tables/rows.ts'
import { type DomainConfigRow, domainConfigs, domainSecrets } from './directory-tables.ts'
import { domainOption } from './domain-options.ts'

type Options = DomainConfigRow['options']
type Secrets = Pick<IdentityParts, 'secrets'>

/** The options of a domain, secrets too; none if it has no configuration. Throws 500 `SecretUnreadable`. */
export async function optionsOf(
  parts: Secrets,
  reader: StateReader,
  domainId: string,
): Promise<Options> {
  const row = await domainConfigs.get(reader, domainId)
  if (row === undefined) return {}
  const sealed = await domainSecrets.get(reader, domainId)
  if (sealed === undefined) return row.options
  const secret = JSON.parse(openSecret(parts, domainSecrets, sealed)) as Options
  const groups = new Set([...Object.keys(row.options), ...Object.keys(secret)])
  const both = [...groups].map((group) => [group, { ...row.options[group], ...secret[group] }])
  return Object.fromEntries(both) as Options
}

/** Keeps a domain's options, the secret ones sealed; without any it has no configuration. */
export async function putOptions(
  parts: Secrets & Pick<IdentityParts, 'random'>,
  tx: StateTransaction,
  { domainId, options }: DomainConfigRow,
): Promise<void> {
  if (Object.keys(options).length === 0) return deleteOptions(tx, domainId)
  const secret = pick(options, true)
  await domainConfigs.put(tx, { domainId, options: pick(options, false) })
  if (Object.keys(secret).length === 0) return domainSecrets.delete(tx, domainId)
  const place = { table: domainSecrets, id: domainId }
  const sealedSecret = sealSecret(parts, place, JSON.stringify(secret))
  await domainSecrets.put(tx, { id: domainId, sealedSecret })
}

/** Deletes a domain's configuration. */
export async function deleteOptions(tx: StateTransaction, domainId: string): Promise<void> {
  await domainConfigs.delete(tx, domainId)
  await domainSecrets.delete(tx, domainId)
}

/** Seals what earlier versions have kept as it was. */
export async function sealPlainOptions(
  parts: Secrets & Pick<IdentityParts, 'random'> & { readonly state: StateStore },
): Promise<void> {
  for (const { domainId, options } of await domainConfigs.list(parts.state)) {
    if (Object.keys(pick(options, true)).length === 0) continue
    await parts.state.transaction(async (tx) => {
      const merged = await optionsOf(parts, tx, domainId)
      await putOptions(parts, tx, { domainId, options: merged })
    })
  }
}

/** The options that are secrets, or those that are not, without groups that have none. */
function pick(options: Options, sensitive: boolean): Options {
  const groups = Object.entries(options).map(([group, values]) => {
    const own = Object.entries(values).filter(
      ([name]) => (domainOption(group, name)?.sensitive ?? false) === sensitive,
    )
    return [group, Object.fromEntries(own) as Extra] as const
  })
  return Object.fromEntries(groups.filter(([, values]) => Object.keys(values).length > 0))
}
