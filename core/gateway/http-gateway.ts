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
  GetRequestStatusRequest,
  GetRequestStatusResponse,
} from '../../proto/gen/busbar/v1/input_gateway.ts'
import {
  GetResponseRequest,
  GetResponseResponse,
  ReceiveResponse,
} from '../../proto/gen/busbar/v1/output_gateway.ts'
import { ServiceRequest, type RequestId } from '../../proto/gen/busbar/v1/service_request.ts'
import { identify, partyHeader, type IdentityRefusal } from '../access/identity.ts'
import type { Parties } from '../access/parties.ts'
import { BrokerError } from '../base/broker-error.ts'
import { formatHostPort } from '../base/host-port.ts'
import { asBuffer } from '../base/bytes.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import { readKind } from '../envelope/envelope.ts'
import { Kind } from '../envelope/layout.ts'
import type { Clock } from '../ports/clock.ts'
import type { DeliveryFeed } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import { ProtobufWriter } from '../translate/protobuf.ts'
import { appendStatus } from '../translate/status.ts'
import { sequenceOf } from '../envelope/delivery-id.ts'
import type { Deliveries } from './deliveries.ts'
import { pollDeliveries } from './delivery-poll.ts'
import {
  acknowledgementJson,
  deliveryJson,
  httpAnswerOf,
  httpRefusal,
  type HttpAnswer,
} from './http-answer.ts'
import {
  bodyNames,
  counterFaultOf,
  deliveryAcknowledgementSchema,
  pollSchema,
  responseQuerySchema,
  submissionSchema,
} from './http-schema.ts'
import type { Intake } from './intake.ts'
import type { PartyAccount, PartyAccounts } from './party-account.ts'
import type { Responses } from './responses.ts'
import type { AnswerSink } from './slots.ts'

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

const json = 'application/json; charset=utf-8'
const pollDeliveriesDefault = 100

function send(reply: FastifyReply, answer: HttpAnswer): void {
  if (answer.retryAfterSeconds > 0) reply.header('retry-after', answer.retryAfterSeconds)
  reply.code(answer.status).header('content-type', json).send(answer.body)
}

/** One request a call: POST with a single object, or DELETE. */
class HttpSingle implements AnswerSink {
  private readonly reply: FastifyReply
  private readonly goodStatus: number

  constructor(reply: FastifyReply, goodStatus: number) {
    this.reply = reply
    this.goodStatus = goodStatus
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    send(this.reply, httpAnswerOf(buffer, at, this.goodStatus))
  }
}

/** POST with a list: acknowledgements in its order. */
class HttpBatch implements AnswerSink {
  private readonly reply: FastifyReply
  private readonly texts: string[]
  private left: number

  constructor(reply: FastifyReply, count: number) {
    this.reply = reply
    this.texts = new Array<string>(count)
    this.left = count
  }

  answer(tag: number, buffer: Buffer, at: number): void {
    this.texts[tag] = acknowledgementJson(buffer, at)
    if (--this.left > 0) return
    send(this.reply, {
      status: 200,
      body: `{"acknowledgements":[${this.texts.join(',')}]}`,
      retryAfterSeconds: 0,
    })
  }
}

const statusWriter = new ProtobufWriter()

class HttpStatus implements AnswerSink {
  private readonly reply: FastifyReply

  constructor(reply: FastifyReply) {
    this.reply = reply
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    if (readKind(buffer, at) !== Kind.STATUS) return send(this.reply, httpAnswerOf(buffer, at, 200))
    try {
      appendStatus(statusWriter, buffer, at)
      const body = JSON.stringify(
        GetRequestStatusResponse.toJSON(GetRequestStatusResponse.decode(statusWriter.take())),
      )
      send(this.reply, { status: 200, body, retryAfterSeconds: 0 })
    } catch {
      statusWriter.reset()
      send(this.reply, httpRefusal('ENVELOPE_MALFORMED'))
    }
  }
}

type Malformed = { code: ErrorCode; detail: string }

/**
 * Why a RequestID in JSON has no usable counter, in words. One of a list that has none, or one too many, is refused by
 * itself behind this door: only what has no form in protobuf is a fault of the list.
 */
function requestIdFaultOf(object: Record<string, unknown>, isInList: boolean): string | undefined {
  const id = (object['requestId'] ?? object['request_id'] ?? {}) as Record<string, unknown>
  const { counter } = id
  const fault = counterFaultOf(counter)
  if (fault !== undefined || isInList) return fault
  const isGiven = counter !== undefined && counter !== null && counter !== '' && Number(counter) > 0
  const isAssigned = (object['assignCounter'] ?? object['assign_counter']) === true
  if (isGiven && isAssigned) return 'there is a counter, and assignCounter asks for another one'
  return isGiven || isAssigned ? undefined : 'the counter is missing or 0'
}

/**
 * The wire bytes of a ServiceRequest given as JSON that the schema has passed, or what is wrong
 * with it.
 */
function requestBytesOf(object: Record<string, unknown>, isInList: boolean): Buffer | Malformed {
  const malformed = (detail: string): Malformed => ({ code: 'REQUEST_JSON_MALFORMED', detail })
  let bodies = 0
  for (const name of bodyNames) if (object[name] !== undefined && object[name] !== null) bodies++
  if (bodies > 1) return malformed('a request takes one body at most')
  const fault = requestIdFaultOf(object, isInList)
  if (fault !== undefined) return { code: 'REQUEST_ID_MALFORMED', detail: fault }
  const id = object['requestId'] ?? object['request_id']
  // An empty text is no counter, which the generated code does not know.
  const { counter, ...names } = (id ?? {}) as Record<string, unknown>
  const request = { ...object, requestId: counter === '' ? names : id }
  try {
    return asBuffer(ServiceRequest.encode(ServiceRequest.fromJSON(request)).finish())
  } catch {
    // The schema has seen to names and types: what is left is a date that does not exist.
    return malformed('a time does not exist')
  }
}

// `originator:target:counter`, where each EUI-64 may itself have colons.
const eui64Text = '(?:[0-9A-Fa-f]{16}|(?:[0-9A-Fa-f]{2}[-:]){7}[0-9A-Fa-f]{2})'
const requestIdText = new RegExp(`^(${eui64Text}):(${eui64Text}):(\\d{1,20})$`)

/** The RequestId of a path; undefined when it has another form. */
function requestIdOf(text: string): RequestId | undefined {
  const match = requestIdText.exec(text)
  if (!match) return undefined
  const counter = BigInt(match[3]!)
  if (counter > 0xffff_ffff_ffff_ffffn) return undefined
  return { originator: match[1]!, target: match[2]!, counter }
}

/** A GetRequestStatusRequest or CancelRequest, which have the same wire form. */
function requestIdBytesOf(text: string): Buffer | undefined {
  const requestId = requestIdOf(text)
  return requestId && asBuffer(GetRequestStatusRequest.encode({ requestId }).finish())
}

function codeOf(error: FastifyError): ErrorCode {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'REQUEST_SIZE_EXCEEDED'
  return (error.statusCode ?? 500) < 500 ? 'REQUEST_JSON_MALFORMED' : 'BROKER_GATEWAY_FAILED'
}

/** What the schema found, with the name of a field that nobody knows. */
function faultOf(error: FastifyError): string {
  const unknown = error.validation?.[0]?.params['additionalProperty']
  return typeof unknown === 'string'
    ? `${error.message}: ${JSON.stringify(unknown.slice(0, 60))}`
    : error.message
}

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
    this.server.setErrorHandler((error: FastifyError, _request, reply) => {
      const code = codeOf(error)
      if (code === 'BROKER_GATEWAY_FAILED')
        ports.log.error({ reason: String(error) }, 'an HTTP call failed')
      const answer = httpRefusal(
        code,
        code === 'BROKER_GATEWAY_FAILED' ? undefined : faultOf(error),
      )
      send(reply, { ...answer, status: error.statusCode ?? answer.status })
    })
    this.server.setNotFoundHandler((request, reply) =>
      send(
        reply,
        httpRefusal('REQUEST_PATH_UNKNOWN', `${request.method} ${request.url.slice(0, 100)}`),
      ),
    )
    this.server.post('/v1/service-requests', { schema: { body: submissionSchema } }, this.submit)
    this.server.get('/v1/service-requests/:id', this.getStatus)
    this.server.delete('/v1/service-requests/:id', this.cancel)
    this.server.get(
      '/v1/service-requests/:id/response',
      { schema: { querystring: responseQuerySchema } },
      this.getResponse,
    )
    this.server.get('/v1/deliveries', { schema: { querystring: pollSchema } }, this.poll)
    this.server.post(
      '/v1/deliveries/acknowledgements',
      { schema: { body: deliveryAcknowledgementSchema } },
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
      if (!Buffer.isBuffer(bytes)) return send(reply, httpRefusal(bytes.code, bytes.detail))
      return intake.submit(account, bytes, 0, bytes.length, new HttpSingle(reply, 202), 0)
    }
    const { requests } = body
    if (requests.length > limits.requestsPerBatchMax)
      return send(reply, httpRefusal('REQUEST_SIZE_EXCEEDED', `${requests.length} requests`))
    if (requests.length === 0)
      return send(reply, { status: 200, body: '{"acknowledgements":[]}', retryAfterSeconds: 0 })
    const encoded: Buffer[] = []
    for (const object of requests) {
      const bytes = requestBytesOf(object, true)
      if (!Buffer.isBuffer(bytes))
        return send(reply, httpRefusal(bytes.code, `requests/${encoded.length}: ${bytes.detail}`))
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
      return send(
        reply,
        httpRefusal('REQUEST_ID_MALFORMED', 'the path ends in originator:target:counter'),
      )
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
        httpRefusal(
          'REQUEST_ID_MALFORMED',
          'the path has originator:target:counter before /response',
        ),
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
      return send(
        reply,
        httpRefusal('REQUEST_ID_MALFORMED', 'the path ends in originator:target:counter'),
      )
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
    const body = request.body as { deliveryId?: string | number; delivery_id?: string | number }
    const deliveryId = Number(body.deliveryId ?? body.delivery_id)
    const { deliveries, ledger } = this.ports
    try {
      const subject = deliveries.subjectOf(account.party)
      const cursor = await deliveries.cursorOf(account.party)
      const acknowledged = sequenceOf(cursor.acknowledged)
      const last = (await ledger.lastOn(subject, acknowledged))?.sequence ?? acknowledged
      if (!Number.isSafeInteger(deliveryId) || sequenceOf(deliveryId) > last) {
        return this.sent(
          reply,
          httpRefusal(
            'DELIVERY_ACKNOWLEDGEMENT_INVALID',
            `delivery id ${body.deliveryId ?? body.delivery_id}`,
          ),
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
