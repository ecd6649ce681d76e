import type { QueryPairs, SignableRequest } from './canonical.ts'

const NAME = 'x-amz-security-token'

/** The token of credentials for a time: in a header, or in the query of a presigned URL. */
export function sessionTokenOf(
  { headers }: Pick<SignableRequest, 'headers'>,
  query: QueryPairs,
): string | undefined {
  const sent = headers[NAME]
  if (typeof sent === 'string') return sent
  return query.find(([name]) => name.toLowerCase() === NAME)?.[1]
}
