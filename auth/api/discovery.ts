import { type Answer, ok } from '../../common/http/route.ts'
import type { IdentityCall, IdentityRoute } from './identity-call.ts'
import { apiUrl } from './views.ts'

/** The API that is offered: Keystone's of 2023.1 and later. */
const VERSION = 'v3.14'
const UPDATED = '2020-04-07T00:00:00Z'

export const discoveryRoutes: readonly IdentityRoute[] = [
  { method: 'GET', path: '/', handle: listVersions },
  { method: 'GET', path: '/v3', handle: showVersion },
]

/** 300 Multiple Choices, as Keystone answers. */
function listVersions(call: IdentityCall): Answer {
  const location = `${apiUrl(call)}/`
  return {
    status: 300,
    headers: { Location: location },
    body: { versions: { values: [versionOf(call)] } },
  }
}

function showVersion(call: IdentityCall): Answer {
  return ok({ version: versionOf(call) })
}

function versionOf(call: IdentityCall): unknown {
  return {
    id: VERSION,
    status: 'stable',
    updated: UPDATED,
    links: [{ rel: 'self', href: `${apiUrl(call)}/` }],
    'media-types': [
      { base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' },
    ],
  }
}
