/**
 * The HTTP/JSON doors: the same submissions as over gRPC, for curl and for parties without
 * protobuf. JSON is checked strictly, turned into the same bytes and handed to the same intake.
 */
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import {
  GetResponseRequest,
  GetResponseResponse,
  ReceiveResponse,
} from '../../proto/gen/busbar/v1/output_gateway.ts'
import { identify, partyHeader, type IdentityRefusal } from '../access/identity.ts'
import type { Parties } from '../access/parties.ts'
import { BrokerError } from '../base/broker-error.ts'
import { formatHostPort } from '../base/host-port.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { sequenceOf } from '../envelope/delivery-id.ts'
import type { Clock } from '../ports/clock.ts'
import type { DeliveryFeed } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import type { Deliveries } from './deliveries.ts'
import { pollDeliveries } from './delivery-poll.ts'
import { deliveryJson, httpRefusal, type HttpAnswer } from './http-answer.ts'
import { takeJsonOnly } from './http-content.ts'
import { faultAnswer, malformedAnswer, pathIdAnswer, tooManyAnswer } from './http-fault.ts'
import { operations } from './http-operations.ts'
import { requestBytesOf, requestIdBytesOf, requestIdOf } from './http-request.ts'
import {
  deliveryAcknowledgementSchema,
  deliveryIdFaultOf,
  pollSchema,
  responseQuerySchema,
  submissionSchema,
} from './http-schema.ts'
import { HttpBatch, HttpSingle, HttpStatus, send } from './http-sinks.ts'
import type { Intake } from './intake.ts'
import { serveOpenApi, type Operation } from './openapi.ts'
import type { PartyAccount, PartyAccounts } from './party-account.ts'
import type { Responses } from './responses.ts'

export type HttpGatewayPorts = {
  intake: Intake
  deliveries: Deliveries
  responses: Responses
  accounts: PartyAccounts
  parties: Parties
  ledger: DeliveryFeed
  clock: Clock
  log: Log
}

const pollDeliveriesDefault = 100

export class HttpGateway {
  private readonly ports: HttpGatewayPorts
  private readonly server: FastifyInstance
  private readonly polls = new Set<() => void>()

  constructor(ports: HttpGatewayPorts) {
    this.ports = ports
    this.server = fastify({
      bodyLimit: limits.partyMessageBytesMax,
      routerOptions: { maxParamLength: 200 },
      // HEAD would run the handler of GET: a poll takes the receiver's seat [RFC 9110 9.2.1].
      exposeHeadRoutes: false,
      requestTimeout: limits.longPollMsMax,
      forceCloseConnections: true,
      frameworkErrors: (error, _request, reply) => this.refuseBroken(error, reply as FastifyReply),
      ajv: {
        customOptions: {
          coerceTypes: false,
          removeAdditional: false,
          useDefaults: false,
          allErrors: false,
          allowUnionTypes: true,
        },
      },
    })
    takeJsonOnly(this.server)
    this.server.setErrorHandler((error: FastifyError, _request, reply) =>
      this.refuseBroken(error, reply),
    )
    this.server.setNotFoundHandler((request, reply) =>
      send(
        reply,
        httpRefusal('REQUEST_PATH_UNKNOWN', `${request.method} ${request.url.slice(0, 100)}`),
      ),
    )
    this.addRoutes()
  }

  private addRoutes(): void {
    const { server } = this
    serveOpenApi(server)
    const requests = '/v1/service-requests'
    const of = (name: keyof typeof operations): { config: { operation: Operation } } => ({
      config: { operation: operations[name] },
    })
    server.post(requests, { schema: { body: submissionSchema }, ...of('submit') }, this.submit)
    server.get(`${requests}/:id`, of('getStatus'), this.getStatus)
    server.delete(`${requests}/:id`, of('cancel'), this.cancel)
    server.get(
      `${requests}/:id/response`,
      { schema: { querystring: responseQuerySchema }, ...of('getResponse') },
      this.getResponse,
    )
    server.get('/v1/deliveries', { schema: { querystring: pollSchema }, ...of('poll') }, this.poll)
    server.post(
      '/v1/deliveries/acknowledgements',
      { schema: { body: deliveryAcknowledgementSchema }, ...of('acknowledge') },
      this.acknowledge,
    )
  }

  /**
   * Listens on `host:port`, 0 for any; settles with the port.
   * @throws BrokerError CONFIG_INVALID when the address is taken, or is none of this machine
   */
  async listen(host: string, port: number): Promise<number> {
    try {
      await this.server.listen({ host, port })
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new BrokerError(
        'CONFIG_INVALID',
        `HTTP cannot listen on ${formatHostPort(host, port)}: ${why}`,
        {
          cause,
        },
      )
    }
    const address = this.server.server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** Ends the long polls with what they have, then every connection. */
  async close(): Promise<void> {
    for (const stop of this.polls) stop()
    await this.server.close()
  }

  /** Answers a call that failed before its handler ran, or in it. */
  private refuseBroken(error: FastifyError, reply: FastifyReply): void {
    const answer = faultAnswer(error)
    if (answer.status >= 500) this.ports.log.error({ reason: String(error) }, 'an HTTP call failed')
    send(reply, answer)
  }

  private identify(request: FastifyRequest): PartyAccount | IdentityRefusal {
    const value = request.headers[partyHeader]
    if (Array.isArray(value)) return 'PARTY_HEADER_MALFORMED'
    const party = identify(value, this.ports.parties)
    return typeof party === 'string' ? party : this.ports.accounts.of(party)
  }

  private readonly submit = (request: FastifyRequest, reply: FastifyReply): void => {
    const account = this.identify(request)
    if (typeof account === 'string') return send(reply, httpRefusal(account))
    const body = request.body as Record<string, unknown> & { requests?: Record<string, unknown>[] }
    const { intake } = this.ports
    if (body.requests === undefined) {
      const bytes = requestBytesOf(body, false)
      if (!Buffer.isBuffer(bytes)) return send(reply, malformedAnswer(bytes))
      const sink = new HttpSingle(reply, 202, bytes)
      return intake.submit(account, bytes, 0, bytes.length, sink, 0)
    }
    const { requests } = body
    if (requests.length > limits.requestsPerBatchMax)
      return send(reply, tooManyAnswer(requests.length))
    if (requests.length === 0)
      return send(reply, { status: 200, body: '{"acknowledgements":[]}', retryAfterSeconds: 0 })
    const encoded: Buffer[] = []
    for (const object of requests) {
      const bytes = requestBytesOf(object, true)
      if (!Buffer.isBuffer(bytes)) return send(reply, malformedAnswer(bytes, encoded.length))
      encoded.push(bytes)
    }
    const batch = new HttpBatch(reply, encoded.length)
    encoded.forEach((bytes, tag) => intake.submit(account, bytes, 0, bytes.length, batch, tag))
  }

  private readonly getStatus = (request: FastifyRequest, reply: FastifyReply): void => {
    const account = this.identify(request)
    if (typeof account === 'string') return send(reply, httpRefusal(account))
    const bytes = requestIdBytesOf((request.params as { id: string }).id)
    if (bytes === undefined)
      return send(reply, pathIdAnswer('the path ends in originator:target:counter'))
    this.ports.intake.queryStatus(account, bytes, 0, bytes.length, new HttpStatus(reply), 0)
  }

  private readonly getResponse = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const account = this.identify(request)
    if (typeof account === 'string') return this.sent(reply, httpRefusal(account))
    const requestId = requestIdOf((request.params as { id: string }).id)
    if (requestId === undefined)
      return this.sent(
        reply,
        pathIdAnswer('the path has originator:target:counter before /response'),
      )
    const waitMs = Number((request.query as { waitMs?: string }).waitMs ?? 0)
    const bytes = asBuffer(GetResponseRequest.encode({ requestId, waitMs }).finish())
    const result = await this.ports.responses.get(account, bytes, (stop) =>
      reply.raw.once('close', stop),
    )
    if ('code' in result) return this.sent(reply, httpRefusal(result.code, result.detail))
    const { delivery } = GetResponseResponse.decode(result.message)
    return this.sent(reply, {
      status: 200,
      body: JSON.stringify({ delivery: deliveryJson(delivery!) }),
      retryAfterSeconds: 0,
    })
  }

  private readonly cancel = (request: FastifyRequest, reply: FastifyReply): void => {
    const account = this.identify(request)
    if (typeof account === 'string') return send(reply, httpRefusal(account))
    const bytes = requestIdBytesOf((request.params as { id: string }).id)
    if (bytes === undefined)
      return send(reply, pathIdAnswer('the path ends in originator:target:counter'))
    this.ports.intake.cancel(account, bytes, 0, bytes.length, new HttpSingle(reply, 200), 0)
  }

  private readonly poll = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const account = this.identify(request)
    if (typeof account === 'string') return this.sent(reply, httpRefusal(account))
    const query = request.query as { max?: string; waitMs?: string; onlyIfFree?: string }
    const max = Math.min(
      Math.max(Number(query.max ?? pollDeliveriesDefault), 1),
      limits.deliveriesPerMessageMax,
    )
    let stop = (): void => {}
    try {
      const { message, refusal } = await pollDeliveries(
        this.ports,
        account.party,
        { max, waitMs: Number(query.waitMs ?? 0), ifFree: query.onlyIfFree === 'true' },
        (end) => {
          stop = end
          this.polls.add(stop)
          reply.raw.once('close', stop)
        },
      )
      if (refusal) return this.sent(reply, httpRefusal(refusal))
      const { deliveries } = ReceiveResponse.decode(message)
      return this.sent(reply, {
        status: 200,
        body: JSON.stringify({ deliveries: deliveries.map(deliveryJson) }),
        retryAfterSeconds: 0,
      })
    } catch (error) {
      this.ports.log.warn({ reason: String(error) }, 'deliveries cannot be read')
      return this.sent(reply, httpRefusal('BROKER_LEDGER_UNAVAILABLE'))
    } finally {
      this.polls.delete(stop)
    }
  }

  private readonly acknowledge = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const account = this.identify(request)
    if (typeof account === 'string') return this.sent(reply, httpRefusal(account))
    const body = request.body as { deliveryId?: unknown; delivery_id?: unknown }
    const given = body.deliveryId ?? body.delivery_id
    const fault = deliveryIdFaultOf(given)
    if (fault !== undefined)
      return this.sent(
        reply,
        httpRefusal('REQUEST_JSON_MALFORMED', fault, [{ field: 'deliveryId', description: fault }]),
      )
    const deliveryId = Number(given)
    const { deliveries, ledger } = this.ports
    try {
      const subject = deliveries.subjectOf(account.party)
      const cursor = await deliveries.cursorOf(account.party)
      const acknowledged = sequenceOf(cursor.acknowledged)
      const last = (await ledger.lastOn(subject, acknowledged))?.sequence ?? acknowledged
      if (!Number.isSafeInteger(deliveryId) || sequenceOf(deliveryId) > last) {
        const detail = `delivery id ${String(given)}`
        const violation = { field: 'deliveryId', description: 'was never sent to this party' }
        return this.sent(
          reply,
          httpRefusal('DELIVERY_ACKNOWLEDGEMENT_INVALID', detail, [violation]),
        )
      }
      cursor.acknowledge(deliveryId)
      if (!(await cursor.settle()))
        return this.sent(reply, httpRefusal('BROKER_LEDGER_UNAVAILABLE'))
      return this.sent(reply, {
        status: 200,
        body: `{"deliveryId":"${cursor.acknowledged}"}`,
        retryAfterSeconds: 0,
      })
    } catch (error) {
      this.ports.log.warn({ reason: String(error) }, 'a delivery cursor cannot be read')
      return this.sent(reply, httpRefusal('BROKER_LEDGER_UNAVAILABLE'))
    }
  }

  private sent(reply: FastifyReply, answer: HttpAnswer): FastifyReply {
    send(reply, answer)
    return reply
  }
}
