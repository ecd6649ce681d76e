import type { Exchange } from '../exchange.ts'
import { addVary, type Reply } from '../reply.ts'
import type { ListingType } from './accept.ts'

/** The answer to a GET of an account or container: 204 where the text is empty, as clients of old expect. */
export function listingReply(
  exchange: Exchange,
  listing: { readonly body: string; readonly type: ListingType; readonly headers: string[] },
): Reply {
  const reply: Reply = {
    status: listing.body === '' ? 204 : 200,
    headers: ['Content-Type', `${listing.type}; charset=utf-8`, ...listing.headers],
    body: listing.body === '' ? null : listing.body,
  }
  return varying(exchange, reply)
}

/** The answer to a HEAD: everything but the listing. */
export function summaryReply(
  exchange: Exchange,
  summary: { readonly type: ListingType; readonly headers: string[] },
): Reply {
  const headers = ['Content-Type', `${summary.type}; charset=utf-8`, ...summary.headers]
  return varying(exchange, { status: 204, headers, body: null })
}

function varying(exchange: Exchange, reply: Reply): Reply {
  if (!exchange.query.has('format')) addVary(reply, 'Accept')
  return reply
}
