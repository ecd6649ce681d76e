import type { QueryPairs, SignableRequest } from './canonical.ts'

/** The second is of a session of one bucket. */
const NAMES = ['x-amz-security-token', 'x-amz-s3session-token'] as const

/** The token of credentials for a time: in a header, or in the query of a presigned URL. */
export function sessionTokenOf(
  { headers }: Pick<SignableRequest, 'headers'>,
  query: QueryPairs,
): string | undefined {
  for (const name of NAMES) {
    const sent = headers[name]
    if (typeof sent === 'string') return sent
  }
  if (query.length === 0) return undefined
  const isOne = (name: string) => (NAMES as readonly string[]).includes(name.toLowerCase())
  return query.find(([name]) => isOne(name))?.[1]
}
