/**
 * The HTTP/JSON doors: the same submissions as over gRPC, for curl and for parties without
 * protobuf. JSON is checked strictly, turned into the same bytes and handed to the same intake.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  GetResponseRequest,
  GetResponseResponse,
  ReceiveResponse,
} from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { detailOf, identify, partyHeader } from '../../access/identity.ts'
import type { PartySource } from '../../access/directory.ts'
import type { RejectionSink } from '../../access/rejection-sink.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { QuarantineAction } from '../../access/quarantine-list.ts'
import { asBuffer } from '../../base/bytes.ts'
import type { BytesInFlight } from '../../base/bytes-in-flight.ts'
import type { Eui64 } from '../../base/eui64.ts'
import { limits } from '../../base/limits.ts'
import { sequenceOf } from '../../envelope/delivery-id.ts'
import { HttpDoor, send, type DoorTimes } from '../../http/door.ts'
import type { ContentLimits } from '../../http/json-content.ts'
import type { HttpAnswer } from '../../http/problem.ts'
import type { PartyTls } from '../party-tls.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DeliveryFeed } from '../../ports/ledger.ts'
import type { Log } from '../../ports/log.ts'
import type { Deliveries } from '../delivery/deliveries.ts'
import { pollDeliveries } from './delivery-poll.ts'
import { deliveryJson, httpRefusal } from './http-answer.ts'
import { malformedAnswer, pathIdAnswer, tooManyAnswer } from './http-fault.ts'
import { operations } from './http-operations.ts'
import { requestBytesOf, requestIdBytesOf, requestIdOf } from './http-request.ts'
import {
  deliveryAcknowledgementSchema,
  deliveryIdFaultOf,
  pollSchema,
  responseQuerySchema,
  submissionSchema,
} from './http-schema.ts'
import { HttpBatch, HttpSingle, HttpStatus } from './http-sinks.ts'
import { countCaller } from '../intake/rejected.ts'
import type { Intake } from '../intake/intake.ts'
import { describeProblem, serveOpenApi, type Operation } from './openapi.ts'
import type { PartyAccount, PartyAccounts } from '../intake/party-account.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import type { Responses } from '../delivery/responses.ts'

export type HttpGatewayPorts = {
  intake: Intake
  deliveries: Deliveries
  responses: Responses
  accounts: PartyAccounts
  parties: PartySource
  feed: DeliveryFeed
  clock: Clock
  log: Log
  /** Counts what is read and not yet answered, over all doors of the process. */
  bytes: BytesInFlight
  /** Names and origins besides the door's own, see core/http/site.ts. */
  site?: { readonly hosts: readonly string[]; readonly origins: readonly string[] }
  times?: Partial<DoorTimes>
  /** Plain HTTP when left out: a header names the party. */
  tls?: PartyTls | undefined
  /** Left out, no rejection is recorded. */
  rejections?: RejectionSink | undefined
  /** Left out, no request is found to be explained. */
  explain?: Explain | undefined
}

/**
 * Why a request of `party`, named originator:target:counter, was accepted or rejected: JSON.
 * @throws BrokerError REQUEST_ID_MALFORMED, PARTY_ORIGINATOR_MISMATCH, REQUEST_NOT_FOUND,
 * LEDGER_READERS_BUSY
 */
export type Explain = (party: Eui64, id: string) => Promise<object>

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; undefined on routes that are open to anybody. */
    account: PartyAccount | undefined
  }
}

const pollDeliveriesDefault = 100

/** Content of each route that takes some. */
const submission: ContentLimits = {
  bytesMax: limits.partyMessageBytesMax,
  itemsMax: limits.requestsPerBatchMax,
  depthMax: limits.jsonNestingMax,
}
const acknowledgement: ContentLimits = { bytesMax: 1024, itemsMax: 0, depthMax: 2 }

export class HttpGateway {
  private readonly ports: HttpGatewayPorts
  private readonly door: HttpDoor
  private readonly polls = new Set<() => void>()
  /** Of all answers about the status of a request. */
  private readonly statuses = new ProtobufWriter()

  constructor(ports: HttpGatewayPorts) {
    this.ports = ports
    const { log, bytes, site, times, tls } = ports
    this.door = new HttpDoor({
      log,
      name: 'HTTP',
      identify: (request) => this.identify(request),
      partyOf: ({ account }) => account?.party.id,
      ...site,
      bytes,
      ...(times !== undefined && { times }),
      ...(tls !== undefined && { tls }),
    })
    this.door.app.decorateRequest('account', undefined)
    this.addRoutes()
  }

  private addRoutes(): void {
    const { app: server } = this.door
    serveOpenApi(server)
    this.door.describeProblems({ operation: describeProblem })
    const requests = '/v1/service-requests'
    const of = (
      name: keyof typeof operations,
      content?: ContentLimits,
    ): { config: { operation: Operation; content?: ContentLimits } } => ({
      config: { operation: operations[name], ...(content !== undefined && { content }) },
    })
    const safe = { exposeHeadRoute: true }
    server.post(
      requests,
      { schema: { body: submissionSchema }, ...of('submit', submission) },
      this.submit,
    )
    server.get(`${requests}/:id`, { ...safe, ...of('getStatus') }, this.getStatus)
    server.delete(`${requests}/:id`, of('cancel'), this.cancel)
    server.post(
      `${requests}/:id/quarantine/release`,
      of('releaseQuarantined'),
      this.resolveQuarantined(QuarantineAction.RELEASE),
    )
    server.post(
      `${requests}/:id/quarantine/delete`,
      of('deleteQuarantined'),
      this.resolveQuarantined(QuarantineAction.DELETE),
    )
    server.get(
      `${requests}/:id/response`,
      { ...safe, schema: { querystring: responseQuerySchema }, ...of('getResponse') },
      this.getResponse,
    )
    server.get(
      `${requests}/:id/explanation`,
      { ...safe, ...of('getExplanation') },
      this.getExplanation,
    )
    // Not safe: a poll takes the receiver's seat, so there is no HEAD [RFC 9110 9.2.1].
    server.get('/v1/deliveries', { schema: { querystring: pollSchema }, ...of('poll') }, this.poll)
    server.post(
      '/v1/deliveries/acknowledgements',
      {
        schema: { body: deliveryAcknowledgementSchema },
        ...of('acknowledge', acknowledgement),
      },
      this.acknowledge,
    )
  }

  /**
   * Listens on `host:port`, 0 for any; settles with the port.
   * @throws BrokerError CONFIG_INVALID when the address is taken, or does not belong to this
   * machine
   */
  listen(host: string, port: number): Promise<number> {
    return this.door.listen(host, port)
  }

  /** Ends the long polls with what they have, then every connection. */
  async close(): Promise<void> {
    for (const stop of this.polls) stop()
    await this.door.close()
  }

  /** Notes who calls, before anything of the content is read; or why the call is rejected. */
  private identify(request: FastifyRequest): HttpAnswer | undefined {
    if (request.routeOptions.config.operation?.isOpen) return undefined
    const value = request.headers[partyHeader]
    const certificate = this.ports.tls?.certificateOf(request.raw.socket)
    const party = Array.isArray(value)
      ? 'PARTY_HEADER_MALFORMED'
      : identify(value, this.ports.parties.known, certificate)
    if (typeof party === 'string') {
      countCaller(this.ports.rejections, party, request.raw.socket.remoteAddress)
      return httpRefusal(party, detailOf(party, certificate))
    }
    request.account = this.ports.accounts.of(party)
    return undefined
  }

  private readonly submit = (request: FastifyRequest, reply: FastifyReply): void => {
    const account = request.account!
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
    const account = request.account!
    const bytes = requestIdBytesOf((request.params as { id: string }).id)
    if (bytes === undefined)
      return send(reply, pathIdAnswer('the path ends in originator:target:counter'))
    this.ports.intake.queryStatus(account, bytes, new HttpStatus(reply, this.statuses), 0)
  }

  private readonly getResponse = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const account = request.account!
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

  private readonly getExplanation = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const { party } = request.account!
    const { explain } = this.ports
    if (explain === undefined) return this.sent(reply, httpRefusal('REQUEST_NOT_FOUND'))
    try {
      const body = JSON.stringify(await explain(party.id, (request.params as { id: string }).id))
      return this.sent(reply, { status: 200, body, retryAfterSeconds: 0 })
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      return this.sent(reply, httpRefusal(fault.code, fault.detail))
    }
  }

  private readonly cancel = (request: FastifyRequest, reply: FastifyReply): void => {
    const account = request.account!
    const bytes = requestIdBytesOf((request.params as { id: string }).id)
    if (bytes === undefined)
      return send(reply, pathIdAnswer('the path ends in originator:target:counter'))
    this.ports.intake.cancel(account, bytes, new HttpSingle(reply, 200), 0)
  }

  private readonly resolveQuarantined =
    (action: QuarantineAction) =>
    (request: FastifyRequest, reply: FastifyReply): void => {
      const account = request.account!
      const bytes = requestIdBytesOf((request.params as { id: string }).id)
      if (bytes === undefined)
        return send(
          reply,
          pathIdAnswer('the path has originator:target:counter before /quarantine'),
        )
      const sink = new HttpSingle(reply, 200)
      this.ports.intake.resolveQuarantined(action, account, bytes, sink, 0)
    }

  private readonly poll = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const account = request.account!
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
          account.lasting.add(stop)
          reply.raw.once('close', stop)
        },
      )
      const code = account.refusal ?? refusal
      if (code) return this.sent(reply, httpRefusal(code))
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
      account.lasting.delete(stop)
    }
  }

  private readonly acknowledge = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const account = request.account!
    const body = request.body as { deliveryId?: unknown; delivery_id?: unknown }
    const given = body.deliveryId ?? body.delivery_id
    const fault = deliveryIdFaultOf(given)
    if (fault !== undefined)
      return this.sent(
        reply,
        httpRefusal('REQUEST_JSON_MALFORMED', fault, [{ field: 'deliveryId', description: fault }]),
      )
    const deliveryId = Number(given)
    const { deliveries, feed } = this.ports
    try {
      const cursor = await deliveries.cursorOf(account.party)
      const acknowledged = sequenceOf(cursor.acknowledged)
      const last = (await feed.lastOf(account.party.id, acknowledged))?.sequence ?? acknowledged
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
