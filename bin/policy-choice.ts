import { InvalidArgumentError } from 'commander'
import { ServiceError } from '../common/errors.ts'
import { CONSISTENCIES } from '../proxy/proxy-options.ts'
import type { PolicySetting, Settings } from './settings.ts'

/** A storage policy that a person asks for at the first start, besides the default one. */
export type PolicyChoice = Omit<PolicySetting, 'index' | 'default'>

/** What `--policy` takes, for help texts. */
export const POLICY_HELP =
  'another storage policy: <name>[,replicas=<n>][,consistency=strict|swift], may be repeated; first start only'

/** Collects `silver,replicas=2,consistency=swift`. */
export function collectPolicy(
  text: string,
  before: readonly PolicyChoice[] | undefined,
): readonly PolicyChoice[] {
  return [...(before ?? []), parsePolicy(text)]
}

function parsePolicy(text: string): PolicyChoice {
  const [name = '', ...traits] = text.split(',')
  if (!/^[A-Za-z0-9-]{1,64}$/.test(name)) {
    throw new InvalidArgumentError('A policy has a name of letters, digits and hyphens.')
  }
  let policy: PolicyChoice = { name }
  for (const trait of traits) policy = { ...policy, ...parseTrait(trait) }
  return policy
}

function parseTrait(text: string): Partial<PolicyChoice> {
  const [key, value = ''] = text.split('=')
  const consistency = CONSISTENCIES.find((one) => one === value)
  if (key === 'consistency' && consistency !== undefined) return { consistency }
  if (key === 'replicas' && /^[1-9]\d?$/.test(value)) return { replicaCount: Number(value) }
  throw new InvalidArgumentError(`Not understood: ${text}.`)
}

/** Throws a 400 `BadDisks` for a policy with more replicas than there are disks. */
export function checkPolicies(policies: readonly PolicyChoice[], diskCount: number): void {
  for (const { name, replicaCount = 1 } of policies) {
    if (replicaCount <= diskCount) continue
    const message = `${replicaCount} replicas of policy ${name} need as many disks, and there are ${diskCount}`
    throw new ServiceError('BadDisks', message, { status: 400 })
  }
}

/** Refuses policies that a folder does not have: there they are added in its settings. */
export function checkKnownPolicies(
  policies: readonly PolicyChoice[],
  settings: Settings,
  path: string,
): void {
  const known = new Set(settings.policies.map(({ name }) => name.toLowerCase()))
  const unknown = policies.find(({ name }) => !known.has(name.toLowerCase()))
  if (unknown === undefined) return
  const message = `there is no storage policy ${unknown.name} here: add it to "policies" in ${path}`
  throw new ServiceError('BadConfig', message, { status: 400 })
}
