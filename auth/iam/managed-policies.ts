/**
 * Policies that AWS keeps for everybody, as far as their services are here.
 * Source: docs.aws.amazon.com/aws-managed-policy/latest/reference.
 */
const allow = (...actions: readonly string[]) => ({
  Effect: 'Allow',
  Action: actions,
  Resource: '*',
})

const DOCUMENTS = {
  AdministratorAccess: [allow('*')],
  AmazonS3FullAccess: [allow('s3:*', 's3-object-lambda:*')],
  AmazonS3ReadOnlyAccess: [allow('s3:Get*', 's3:List*', 's3:Describe*')],
  AmazonSNSFullAccess: [allow('sns:*')],
  AmazonSNSReadOnlyAccess: [allow('sns:GetTopicAttributes', 'sns:List*')],
  IAMFullAccess: [allow('iam:*')],
  IAMReadOnlyAccess: [allow('iam:Get*', 'iam:List*', 'iam:GenerateCredentialReport')],
} as const

const BEGINNING = 'arn:aws:iam::aws:policy/'

/** All of them, by ARN: their JSON. */
export const MANAGED_POLICIES: ReadonlyMap<string, string> = new Map(
  Object.entries(DOCUMENTS).map(([name, statements]) => [
    BEGINNING + name,
    JSON.stringify({ Version: '2012-10-17', Statement: statements }),
  ]),
)

/** The name in an ARN. */
export function policyName(arn: string): string {
  return arn.slice(arn.lastIndexOf('/') + 1)
}
