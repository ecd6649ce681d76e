import { absentRoutes } from './absent.ts'
import { accessKeySecretRoutes } from './access-key-secrets.ts'
import { accessRuleRoutes } from './access-rules.ts'
import { applicationCredentialRoutes } from './application-credentials.ts'
import { authRoutes } from './auth-tokens.ts'
import { catalogRoutes } from './catalog-resources.ts'
import { credentialRoutes } from './credentials.ts'
import { discoveryRoutes } from './discovery.ts'
import { domainConfigRoutes } from './domain-config.ts'
import { domainRoutes } from './domains.ts'
import { ec2CredentialRoutes } from './ec2-credentials.ts'
import { endpointGroupRoutes } from './endpoint-groups.ts'
import { endpointPolicyRoutes } from './endpoint-policies.ts'
import { grantRoutes } from './grants.ts'
import { groupRoutes } from './groups.ts'
import { iamCallRoutes } from './iam-calls.ts'
import type { IdentityRoute } from './identity-call.ts'
import { limitRoutes } from './limits.ts'
import { accessTokenRoutes } from './oauth1-access-tokens.ts'
import { consumerRoutes } from './oauth1-consumers.ts'
import { oauthHandshakeRoutes } from './oauth1-handshake.ts'
import { policyRoutes } from './policies.ts'
import { projectEndpointRoutes } from './project-endpoints.ts'
import { projectTagRoutes } from './project-tags.ts'
import { projectRoutes } from './projects.ts'
import { registeredLimitRoutes } from './registered-limits.ts'
import { roleAssignmentRoutes } from './role-assignments.ts'
import { roleRoutes } from './roles.ts'
import { signedRequestRoutes } from './signed-requests.ts'
import { storeUserRoutes } from './store-users.ts'
import { trustRoutes } from './trusts.ts'
import { userRoutes } from './users.ts'

/** What can be done with who has signed in, and to sign in. */
const API_ROUTES: readonly IdentityRoute[] = [
  ...authRoutes,
  ...domainRoutes,
  ...domainConfigRoutes,
  ...projectRoutes,
  ...projectTagRoutes,
  ...userRoutes,
  ...groupRoutes,
  ...roleRoutes,
  ...grantRoutes,
  ...roleAssignmentRoutes,
  ...catalogRoutes,
  ...applicationCredentialRoutes,
  ...accessRuleRoutes,
  ...trustRoutes,
  ...credentialRoutes,
  ...ec2CredentialRoutes,
  ...signedRequestRoutes,
  ...accessKeySecretRoutes,
  ...iamCallRoutes,
  ...storeUserRoutes,
  ...registeredLimitRoutes,
  ...limitRoutes,
  ...policyRoutes,
  ...endpointPolicyRoutes,
  ...endpointGroupRoutes,
  ...projectEndpointRoutes,
  ...consumerRoutes,
  ...oauthHandshakeRoutes,
  ...accessTokenRoutes,
  ...absentRoutes,
]

/** Every call of the identity API. */
export const IDENTITY_ROUTES: readonly IdentityRoute[] = [
  ...discoveryRoutes(API_ROUTES),
  ...API_ROUTES,
]
