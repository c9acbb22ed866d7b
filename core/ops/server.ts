/**
 * HTTP for operators, on loopback unless configured otherwise: GET /metrics (Prometheus text), GET
 * /health/live, GET /health/ready, and whatever routes the broker adds, such as the registration of
 * devices. Who may call which route is decided in operator-gate.ts. Not for parties: that is
 * core/gateway.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { limits } from '../base/limits.ts'
import { formatHostPort } from '../base/host-port.ts'
import { reachableHost } from '../base/loopback.ts'
import { HttpDoor, send } from '../http/door.ts'
import { problemOf } from '../http/problem.ts'
import type { Log } from '../ports/log.ts'
import type { ListenAddress } from './broker-config.ts'
import type { PrometheusMetrics } from './metrics.ts'
import type { OperatorGate } from './operator-gate.ts'

/**
 * Says why the broker is not ready, or is degraded; undefined while all is well. Cheap: asked at
 * each probe.
 */
export type ReadinessCheck = () => string | undefined

export type OpsServer = {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Registers a check by name; the returned function takes it away. */
  addCheck(name: string, check: ReadinessCheck): () => void
  /**
   * Registers a check of what an operator has to repair while the broker serves. A load balancer
   * goes on sending it work: every process of a deployment has the same ledger.
   */
  addDegradation(name: string, check: ReadinessCheck): () => void
  /** What is degraded now, `name: reason` each. */
  degradations(): string[]
  /** Why the broker is not ready now, `name: reason` each; empty when it is. */
  reasons(): string[]
  close(): Promise<void>
}

export type OpsServerOptions = {
  readonly listen: ListenAddress
  readonly metrics: PrometheusMetrics
  readonly log: Log
  /** Who may call which route. */
  readonly gate: OperatorGate
  /**
   * Adds routes before the server listens. A BrokerError thrown in one becomes the fitting problem.
   */
  readonly routes?: (app: FastifyInstance) => void
  /** Names and origins besides the door's own, see core/http/site.ts. */
  readonly site?: { readonly hosts: readonly string[]; readonly origins: readonly string[] }
}

const reasonsOf = (checks: ReadonlyMap<string, ReadinessCheck>): string[] =>
  [...checks].flatMap(([name, check]) => {
    const reason = check()
    return reason === undefined ? [] : [`${name}: ${reason}`]
  })

/** @throws BrokerError CONFIG_INVALID when the address cannot be listened on */
export async function startOpsServer({
  listen,
  metrics,
  routes,
  site,
  gate,
  ...others
}: OpsServerOptions): Promise<OpsServer> {
  const checks = new Map<string, ReadinessCheck>()
  const degradationChecks = new Map<string, ReadinessCheck>()
  const reasons = (): string[] => reasonsOf(checks)
  const degradations = (): string[] => reasonsOf(degradationChecks)

  metrics.gauge(
    'busbar_degraded',
    '1 while something has to be repaired that is still served',
    () => (degradations().length === 0 ? 0 : 1),
  )

  // Registration files take their time to arrive.
  const times = { requestMs: limits.registrationUploadMsMax }
  const identify = (request: FastifyRequest) => gate.identify(request)
  const door = new HttpDoor({ name: 'ops server', times, ...others, ...site, identify })
  const { app } = door
  app.decorateRequest('operator', undefined)
  app.addHook('onRoute', ({ method, url }) => gate.expectKnown([method].flat(), url))
  app.addHook('onResponse', (request, reply, done) => {
    gate.answered(request, reply)
    done()
  })
  const safe = { exposeHeadRoute: true }
  door.describeProblems()
  app.get('/metrics', safe, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  )
  app.get('/health/live', safe, async () => ({ status: 'live' }))
  app.get('/health/ready', safe, (_request, reply) => {
    const found = reasons()
    const degraded = degradations()
    if (found.length > 0) {
      const members = { reasons: found, degraded }
      return send(reply, problemOf('BROKER_UNREADY', { detail: found.join('; '), members }))
    }
    const status = degraded.length === 0 ? 'ready' : 'degraded'
    return reply.send({ status, reasons: found, degraded })
  })
  routes?.(app)
  const port = await door.listen(listen.host, listen.port)
  const url = `http://${formatHostPort(reachableHost(listen.host), port)}`
  return {
    url,
    port,
    addCheck(name, check) {
      checks.set(name, check)
      return () => void checks.delete(name)
    },
    addDegradation(name, check) {
      degradationChecks.set(name, check)
      return () => void degradationChecks.delete(name)
    },
    degradations,
    reasons,
    close: () => door.close(),
  }
}
