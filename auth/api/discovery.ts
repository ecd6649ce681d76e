import { type Answer, ok } from '../../common/http/route.ts'
import type { IdentityCall, IdentityRoute } from './identity-call.ts'
import { type HomeResource, homeResources, showHome } from './json-home.ts'
import { apiUrl } from './views.ts'

/** The API that is offered: Keystone's of 2023.1 and later. */
const VERSION = 'v3.14'
const UPDATED = '2020-04-07T00:00:00Z'
const JSON_HOME = 'application/json-home'

/** What there is, for whom has not signed in: the version, and the directory of these calls. */
export function discoveryRoutes(routes: readonly IdentityRoute[]): readonly IdentityRoute[] {
  const home = homeResources(routes.map(({ path }) => path))
  return [
    { method: 'GET', path: '/', handle: (call) => listVersions(call, home) },
    { method: 'GET', path: '/v3', handle: (call) => showVersion(call, home) },
  ]
}

/** 300 Multiple Choices, as Keystone answers. */
function listVersions(call: IdentityCall, home: readonly HomeResource[]): Answer {
  if (wantsHome(call)) return homeAnswer(home, '/v3')
  const location = `${apiUrl(call)}/`
  return {
    status: 300,
    headers: { Location: location },
    body: { versions: { values: [versionOf(call)] } },
  }
}

function showVersion(call: IdentityCall, home: readonly HomeResource[]): Answer {
  if (wantsHome(call)) return homeAnswer(home, '')
  return ok({ version: versionOf(call) })
}

/** Whether the client would rather have the directory. */
function wantsHome(call: IdentityCall): boolean {
  const qualityOf = (type: string) => qualityIn(call.header('accept'), type)
  return qualityOf(JSON_HOME) > qualityOf('application/json')
}

/** How much a type is wanted, from 0 to 1, by its own entry of an Accept header alone. */
function qualityIn(accept: string, wanted: string): number {
  for (const entry of accept.split(',')) {
    const [type = '', ...parameters] = entry.split(';').map((part) => part.trim())
    if (type.toLowerCase() !== wanted) continue
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    return quality === undefined ? 1 : Number(quality.slice(2)) || 0
  }
  return 0
}

function homeAnswer(home: readonly HomeResource[], prefix: string): Answer {
  return { ...ok(showHome(home, prefix)), headers: { 'Content-Type': JSON_HOME } }
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
