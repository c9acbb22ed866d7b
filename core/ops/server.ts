/**
 * HTTP for operators, on loopback unless configured otherwise: GET /metrics (Prometheus text), GET /health/live, GET
 * /health/ready, and whatever routes the broker adds, such as the registration of devices. Not for parties: that is
 * core/gateway.
 */
import { fastify, type FastifyInstance } from 'fastify'
import { BrokerError } from '../base/broker-error.ts'
import { formatHostPort } from '../base/host-port.ts'
import type { GrpcStatus } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import type { Log } from '../ports/log.ts'
import type { ListenAddress } from './config.ts'
import type { PrometheusMetrics } from './metrics.ts'

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
  /** Adds routes before the server listens. A BrokerError thrown in one becomes the fitting status. */
  readonly routes?: (app: FastifyInstance) => void
}

/** HTTP status by gRPC status: google.rpc.Code's own mapping. */
export const httpStatusOf: Readonly<Record<GrpcStatus, number>> = {
  OK: 200,
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  ABORTED: 409,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
}

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)$/

const reasonsOf = (checks: ReadonlyMap<string, ReadinessCheck>): string[] =>
  [...checks].flatMap(([name, check]) => {
    const reason = check()
    return reason === undefined ? [] : [`${name}: ${reason}`]
  })

/** @throws BrokerError CONFIG_INVALID when the address cannot be listened on */
export async function startOpsServer({
  listen,
  metrics,
  log,
  routes,
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

  const app = fastify({
    logger: false,
    bodyLimit: limits.partyMessageBytesMax,
    connectionTimeout: limits.opsRequestMsMax,
    requestTimeout: limits.opsRequestMsMax,
    keepAliveTimeout: limits.opsRequestMsMax,
    forceCloseConnections: true,
  })
  // Only JSON: a web page elsewhere can make a browser post plain text to loopback without asking, but not JSON.
  app.removeContentTypeParser('text/plain')
  if (loopback.test(listen.host)) {
    // A name that somebody points at 127.0.0.1 is not us: keeps web pages from reading through a browser.
    app.addHook('onRequest', async (request, reply) => {
      if (!loopback.test((request.headers.host ?? '').replace(/:\d+$/, ''))) {
        await reply
          .code(421)
          .send({ error: 'HOST_UNKNOWN', message: 'Use 127.0.0.1 or localhost.' })
      }
    })
  }
  app.setErrorHandler(async (error, request, reply) => {
    if (error instanceof BrokerError) {
      await reply
        .code(httpStatusOf[error.row.grpc])
        .send({ error: error.code, message: error.message })
      return
    }
    const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
    if (status >= 400 && status < 500) {
      await reply.code(status).send({ error: 'REQUEST_INVALID', message: (error as Error).message })
      return
    }
    log.error(
      {
        route: request.routeOptions.url,
        fault: error instanceof Error ? error.message : String(error),
      },
      'an ops route failed',
    )
    await reply.code(500).send({ error: 'INTERNAL', message: 'See the log.' })
  })

  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  )
  app.get('/health/live', async () => ({ status: 'live' }))
  app.get('/health/ready', async (_request, reply) => {
    const found = reasons()
    const degraded = degradations()
    if (found.length > 0)
      return reply.code(503).send({ status: 'unready', reasons: found, degraded })
    return { status: degraded.length === 0 ? 'ready' : 'degraded', reasons: found, degraded }
  })
  routes?.(app)

  let url: string
  try {
    url = await app.listen({ host: listen.host, port: listen.port })
  } catch (cause) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `ops server cannot listen on ${formatHostPort(listen.host, listen.port)}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
  return {
    url,
    port: Number(new URL(url).port),
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
    close: () => app.close(),
  }
}
