import type { PolicyDocument } from '../../../common/access-policy/policy-document.ts'
import { S3Error } from '../s3-error.ts'

const ARN = 'arn:aws:s3:::'

/** A bucket's policy is about S3, and about this bucket. Throws MalformedPolicy. */
export function checkBucketPolicy({ statements }: PolicyDocument, bucket: string): void {
  for (const { resource, action } of statements) {
    const isHere = resource?.values.every((value) => isOf(value, bucket)) ?? true
    if (!isHere) throw new S3Error('MalformedPolicy', 'Policy has invalid resource')
    if (!action.values.every((name) => name === '*' || name.startsWith('s3:')))
      throw new S3Error('MalformedPolicy', 'Policy has invalid action')
  }
}

function isOf(value: string, bucket: string): boolean {
  if (value === '*') return true
  if (!value.startsWith(ARN)) return false
  const [name = ''] = value.slice(ARN.length).split('/')
  return name === bucket || /[*?$]/.test(name)
}
