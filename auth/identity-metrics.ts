import { Gauge, type Registry } from 'prom-client'
import { ServiceMetrics } from '../common/http/service-metrics.ts'
import type { IdentityParts } from './identity-parts.ts'

/** The metrics of the identity service: its calls, and what holds sign-ins up. */
export function identityMetrics(
  registry: Registry,
  { revocations, passwords }: Pick<IdentityParts, 'revocations' | 'passwords'>,
): ServiceMetrics {
  gauge(registry, 'revocations', 'Events that void tokens', () => revocations.count)
  const waiting = 'Passwords that wait to be verified; beyond 256 sign-ins are answered 503'
  gauge(registry, 'passwords_waiting', waiting, () => passwords.waiting)
  return new ServiceMetrics(registry, 'identity')
}

function gauge(registry: Registry, name: string, help: string, value: () => number): void {
  new Gauge({
    name: `swiftlet_identity_${name}`,
    help,
    registers: [registry],
    collect() {
      this.set(value())
    },
  })
}
