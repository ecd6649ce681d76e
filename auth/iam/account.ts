import { iamEntities, iamPolicies, iamProviders } from '../tables/iam.ts'
import { rootArn } from './arns.ts'
import { POLICIES_MAX } from './customer-policies.ts'
import { KINDS } from './entities.ts'
import { authorise, type IamHandler } from './iam-call.ts'
import { SHARED_CHARACTERS_MAX } from './policy-forms.ts'
import { VERSIONS_MAX } from './policy-versions.ts'

export const ACCOUNT_ACTIONS: Readonly<Record<string, IamHandler>> = {
  async GetAccountSummary(call) {
    const { parts, caller } = call
    const { projectId } = caller
    authorise(call, { projectId, arn: rootArn(parts, projectId) })
    const count = async (kind: keyof typeof KINDS) =>
      (await iamEntities.list(parts.state, { prefix: [projectId, kind] })).length
    const providers = await iamProviders.list(parts.state, { prefix: [projectId] })
    const policies = await iamPolicies.list(parts.state, { prefix: [projectId] })
    return {
      SummaryMap: {
        Users: await count('user'),
        UsersQuota: KINDS.user.countMax,
        Groups: await count('group'),
        GroupsQuota: KINDS.group.countMax,
        Roles: await count('role'),
        RolesQuota: KINDS.role.countMax,
        Providers: providers.length,
        Policies: policies.length,
        PoliciesQuota: POLICIES_MAX,
        PolicySizeQuota: SHARED_CHARACTERS_MAX,
        VersionsPerPolicyQuota: VERSIONS_MAX,
        AccessKeysPerUserQuota: 2,
        GroupsPerUserQuota: 10,
        AttachedPoliciesPerUserQuota: 10,
        AttachedPoliciesPerGroupQuota: 10,
        AttachedPoliciesPerRoleQuota: 10,
        UserPolicySizeQuota: 2048,
        GroupPolicySizeQuota: 5120,
      },
    }
  },
}
