import { judgePolicy, type PolicyPrincipal } from '../../../common/access-policy/judge-policy.ts'
import type { bucketRules } from './bucket-rules.ts'

const NOBODY: PolicyPrincipal = { arns: [], accounts: [], canonicalIds: [], federated: [] }

/** What a bucket's policy says of a service of the store's that writes into it for another bucket; null: nothing. */
export function judgeService(
  policy: ReturnType<typeof bucketRules>['policy'],
  asked: {
    readonly service: string
    readonly resource: string
    readonly source: { readonly account: string; readonly bucket: string }
    /** Further condition keys, in lower case. */
    readonly keys?: Readonly<Record<string, string>>
  },
): ReturnType<typeof judgePolicy> {
  if (policy === null) return null
  const { service, resource, source } = asked
  const keys: Readonly<Record<string, string>> = {
    'aws:sourcearn': `arn:aws:s3:::${source.bucket}`,
    'aws:sourceaccount': source.account,
    'aws:principalservicename': service,
    'aws:principalisawsservice': 'true',
    'aws:securetransport': 'true',
    ...asked.keys,
  }
  return judgePolicy(policy, {
    action: 's3:PutObject',
    resource,
    principal: { ...NOBODY, service },
    keys: (name) => (Object.hasOwn(keys, name) ? [keys[name]!] : undefined),
  })
}
