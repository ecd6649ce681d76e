import { once } from 'node:events'
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

/** A provider of OpenID Connect on this machine, for tests that need one. */
export interface WebIdentityProvider {
  /** What the configuration of ceph/s3-tests says of it. */
  readonly section: string
  close(): Promise<void>
}

const REALM = 'swiftlet'
const AUDIENCE = 'account'
const AUTHORIZED_PARTY = 's3-tests'
const SUBJECT = 'somebody'
/** Tags of a user, as Keycloak puts them into its tokens for AWS. */
const TAGS = {
  'https://aws.amazon.com/tags': {
    principal_tags: { Department: ['Engineering', 'Marketing'] },
  },
}

/** Listens on localhost, publishes its key, and has issued two tokens. Rejects if the port is taken. */
export async function startWebIdentityProvider(port: number): Promise<WebIdentityProvider> {
  const issuer = `http://localhost:${port}/auth/realms/${REALM}`
  const { publicKey, privateKey } = await generateKeyPair('RS256')
  const key = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }
  const documents: Readonly<Record<string, unknown>> = {
    [`/auth/realms/${REALM}/.well-known/openid-configuration`]: {
      issuer,
      jwks_uri: `${issuer}/keys`,
    },
    [`/auth/realms/${REALM}/keys`]: { keys: [key] },
  }
  const server = createServer((req, res) => {
    const document = documents[req.url ?? '']
    res.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(document ?? {}))
  })
  server.listen(port, 'localhost')
  await once(server, 'listening')
  const issue = (claims: Readonly<Record<string, unknown>>) =>
    new SignJWT({ azp: AUTHORIZED_PARTY, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .setIssuer(issuer)
      .setAudience(AUDIENCE)
      .setSubject(SUBJECT)
      .setIssuedAt()
      .setExpirationTime('12h')
      .sign(privateKey)
  const section = [
    '[webidentity]',
    `token = ${await issue({})}`,
    `user_token = ${await issue(TAGS)}`,
    `aud = ${AUDIENCE}`,
    `sub = ${SUBJECT}`,
    `azp = ${AUTHORIZED_PARTY}`,
    `thumbprint = ${'0'.repeat(40)}`,
    `KC_REALM = ${REALM}`,
    '',
  ].join('\n')
  return {
    section,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
