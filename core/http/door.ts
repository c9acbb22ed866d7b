/**
 * An HTTP door: what the doors of parties and of operators have in common, around a server of the
 * framework that has the routes. In the order of a call:
 *
 *   connection   counted by address and in all; too many: 429, 503
 *   head         target, headers, Host, origin (head.ts): 400, 403, 414, 417, 421, 431
 *   route        is there one: 404, 405 with Allow
 *   caller       `identify`: 401, 403
 *   content      what its headers announce (content.ts): 413, 415; only now it is read
 *   JSON         read in parts (json-content.ts): 400
 *
 * A call that is rejected before its content was read costs no reading of it: the answer goes out
 * at once and closes the connection. Every rejection is a problem (problem.ts).
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteOptions,
} from 'fastify'
import { BrokerError } from '../base/broker-error.ts'
import { BytesInFlight } from '../base/bytes-in-flight.ts'
import type { ConnectionsPerAddress } from '../base/connections-per-address.ts'
import type { Eui64 } from '../base/eui64.ts'
import { formatHostPort } from '../base/host-port.ts'
import { limits } from '../base/limits.ts'
import { nextTurn } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import { CallRoutes } from './call-routes.ts'
import { answerText, HttpConnections } from './connections.ts'
import type { DoorTls } from './door-tls.ts'
import { announcedFault, Gathering, hasContent, jsonFault } from './content.ts'
import { faultAnswer } from './fault.ts'
import { checkHead, type CheckedHead } from './head.ts'
import { parseJson, type ParsedJson } from './json-body.ts'
import { parseContent, type ContentLimits } from './json-content.ts'
import {
  CallFault,
  headersOf,
  jsonContent,
  jsonType,
  octetsType,
  problemDescription,
  problemOf,
  problemsPath,
  type HttpAnswer,
} from './problem.ts'
import { Site } from './site.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How much content the route needs; other routes of POST may have some, not much. */
    content?: ContentLimits
    /** The route reads its content itself, octets, as they come; its body is a readable stream. */
    stream?: { readonly bytesMax: number }
  }
  interface FastifyRequest {
    /** Where the answer goes. */
    response: ServerResponse | undefined
  }
}

/** Deadlines in ms; those of limits.ts unless a test is in a hurry. */
export type DoorTimes = {
  readonly headersMs: number
  readonly requestMs: number
  readonly idleMs: number
  readonly silenceMs: number
  readonly lookMs: number
}

export type HttpDoorOptions = {
  readonly log: Log
  /** For messages: `HTTP`, `ops server`. */
  readonly name: string
  /** Names of the door besides the address it listens on, see Site. */
  readonly hosts?: readonly string[]
  readonly origins?: readonly string[]
  /** Why a call is rejected before anything of its content is read; undefined to go on. */
  readonly identify?: (request: FastifyRequest) => HttpAnswer | undefined
  /** Whose bytes in flight the content of an identified call is; nobody's when left out. */
  readonly partyOf?: (request: FastifyRequest) => Eui64 | undefined
  readonly bytes?: BytesInFlight
  readonly connections?: ConnectionsPerAddress
  readonly times?: Partial<DoorTimes>
  /** Plain HTTP when left out. */
  readonly tls?: DoorTls | undefined
}

const times: DoorTimes = {
  headersMs: limits.httpHeadersMsMax,
  requestMs: limits.httpRequestMsMax,
  idleMs: limits.httpIdleMs,
  silenceMs: limits.httpSilenceMsMax,
  lookMs: limits.httpLookMs,
}

const contentDefault: ContentLimits = {
  bytesMax: limits.httpContentBytesMax,
  itemsMax: limits.requestsPerBatchMax,
  depthMax: limits.jsonNestingMax,
}

type ContentDone = (error: Error | null, value?: unknown) => void

export class HttpDoor {
  /** For routes; they are added before `listen`. */
  readonly app: FastifyInstance
  private readonly options: HttpDoorOptions
  private readonly bytes: BytesInFlight
  private readonly connections: HttpConnections
  private readonly routes = new CallRoutes()
  private readonly expecting = new WeakSet<IncomingMessage>()
  private site: Site

  constructor(options: HttpDoorOptions) {
    this.options = options
    this.bytes = options.bytes ?? new BytesInFlight()
    this.connections = new HttpConnections(options.connections)
    this.site = this.siteAt('')
    this.app = fastify({
      bodyLimit: limits.partyMessageBytesMax,
      routerOptions: { maxParamLength: 200 },
      // HEAD would run the handler of GET, whatever that does; routes without side effects say so.
      exposeHeadRoutes: false,
      forceCloseConnections: true,
      clientErrorHandler: (fault, socket) => this.connections.rejected(fault, socket),
      serverFactory: (handle) => this.serverFor(handle),
      frameworkErrors: (error, request, reply) =>
        this.answerFault(error, request as FastifyRequest, reply as FastifyReply),
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
    this.prepare()
  }

  /** Of connections that were taken. */
  get openConnections(): number {
    return this.connections.open
  }

  private siteAt(listenHost: string): Site {
    const { hosts = [], origins = [] } = this.options
    return new Site({ listenHost, hosts, origins })
  }

  /**
   * Listens on `host:port`, 0 for any; settles with the port.
   * @throws BrokerError CONFIG_INVALID when the address is taken, or does not belong to this
   * machine
   */
  async listen(host: string, port: number): Promise<number> {
    this.site = this.siteAt(host)
    try {
      await this.app.listen({ host, port })
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      const where = formatHostPort(host, port)
      throw new BrokerError(
        'CONFIG_INVALID',
        `${this.options.name} cannot listen on ${where}: ${why}`,
        { cause },
      )
    }
    const address = this.app.server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    await this.app.close()
  }

  private serverFor(handle: (request: IncomingMessage, response: ServerResponse) => void): Server {
    const { headersMs, requestMs, idleMs, silenceMs, lookMs } = { ...times, ...this.options.times }
    const take = (request: IncomingMessage, response: ServerResponse): void =>
      this.take(request, response, handle)
    const server = this.newServer(
      {
        maxHeaderSize: limits.httpHeadBytesMax,
        // Looked at in head.ts, which answers with a problem.
        requireHostHeader: false,
        headersTimeout: headersMs,
        requestTimeout: requestMs,
        keepAliveTimeout: idleMs,
        connectionsCheckingInterval: lookMs,
      },
      take,
    )
    // Node drops headers beyond this number without a word; head.ts rejects them.
    server.maxHeadersCount = 0
    server.setTimeout(silenceMs)
    // Whether the peer may send its content is said when it is read.
    server.on('checkContinue', take)
    server.on('checkExpectation', take)
    server.on('connect', (_request: IncomingMessage, socket: Socket) => {
      const answer = problemOf('REQUEST_METHOD_UNSUPPORTED', { status: 501, detail: 'CONNECT' })
      this.connections.of(socket).sayLast(answerText(answer))
    })
    return server
  }

  /** A server with or without TLS, whose connections are counted from their first octet. */
  private newServer(
    options: ServerOptions,
    take: (request: IncomingMessage, response: ServerResponse) => void,
  ): Server {
    const { tls } = this.options
    const { connections } = this
    if (tls === undefined) return createServer(options, take).on('connection', connections.opened)
    const server = createTlsServer({ ...options, ...tls.options }, take)
    tls.onReplaced((context) => server.setSecureContext(context))
    // Before the server itself, which would begin a handshake.
    server.prependListener('connection', connections.counted)
    server.prependListener('secureConnection', (socket: TLSSocket) => {
      connections.secured(socket)
      tls.opened(socket)
    })
    // What cannot speak TLS gets no answer: it could not read one.
    server.removeAllListeners('tlsClientError')
    server.on('tlsClientError', (_fault: Error, socket: TLSSocket) => socket.destroy())
    return server
  }

  /** Looks at the head of a call, and hands it to the framework. */
  private take(
    request: IncomingMessage,
    response: ServerResponse,
    handle: (request: IncomingMessage, response: ServerResponse) => void,
  ): void {
    const { connections } = this
    const connection = connections.of(request.socket)
    // What was sent behind a call whose answer closes the connection is not looked at.
    if (!connections.callBegan(response, connection)) return void request.resume()
    if (connection.openCalls > limits.httpPipelinedCallsMax)
      return this.reject(
        request,
        response,
        problemOf('BROKER_GATEWAY_BUSY', {
          detail: `the connection has ${limits.httpPipelinedCallsMax} calls without an answer`,
        }),
        true,
      )
    const { method = '', url = '', httpVersion: version, rawHeaders, headers } = request
    const head = checkHead({ method, target: url, version, rawHeaders, headers }, this.site)
    if (head instanceof CallFault)
      return this.reject(request, response, problemOf(head.code, head.parts))
    if (head.foreignOrigin !== undefined) this.letRead(response, head.foreignOrigin)
    if (method === 'OPTIONS') return this.answerOptions(request, response, head)
    if (head.expectsContinue) this.expecting.add(request)
    request.url = head.path
    handle(request, response)
  }

  /** Answers a call that the framework does not see. */
  private reject(
    request: IncomingMessage,
    response: ServerResponse,
    answer: HttpAnswer,
    isLast = hasContent(request),
  ): void {
    const headers = headersOf(answer)
    if (isLast) {
      headers['connection'] = 'close'
      this.connections.closeAfter(request)
    }
    response.writeHead(answer.status, headers)
    response.end(request.method === 'HEAD' ? undefined : answer.body)
  }

  /** Pages of configured origins may read answers. @source Fetch, CORS protocol */
  private letRead(response: ServerResponse, origin: string): void {
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('access-control-expose-headers', 'retry-after')
    response.setHeader('vary', 'origin')
  }

  private answerOptions(
    request: IncomingMessage,
    response: ServerResponse,
    { path, foreignOrigin }: CheckedHead,
  ): void {
    const allow = path === '*' ? this.routes.allMethods() : this.routes.methodsOf(path)
    if (allow === undefined)
      return this.reject(request, response, problemOf('REQUEST_PATH_UNKNOWN', pathDetail(request)))
    const headers: Record<string, string> = { allow }
    if (foreignOrigin !== undefined) {
      headers['access-control-allow-methods'] = allow
      headers['access-control-allow-headers'] = 'content-type, x-busbar-party'
    }
    if (hasContent(request)) {
      headers['connection'] = 'close'
      this.connections.closeAfter(request)
    }
    response.writeHead(204, headers)
    response.end()
  }

  private prepare(): void {
    const { app } = this
    app.decorateRequest('response', undefined)
    app.removeAllContentTypeParsers()
    app.addHook('onRoute', ({ url, method }: RouteOptions) => this.routes.add(url, [method].flat()))
    app.addHook('onRequest', (request, reply, done) => {
      request.response = reply.raw
      const answer = this.rejectionOf(request)
      if (answer === undefined) done()
      else this.send(request, reply, answer)
    })
    const read = (request: FastifyRequest, payload: object, done: ContentDone): void =>
      this.read(request, payload as IncomingMessage, done)
    app.addContentTypeParser('*', read)
    // By name, too: the framework takes the media type apart for each call that has none by name.
    app.addContentTypeParser(jsonType, read)
    app.setErrorHandler((error: FastifyError, request, reply) =>
      this.answerFault(error, request, reply),
    )
    app.setNotFoundHandler((request, reply) =>
      this.send(request, reply, problemOf('REQUEST_PATH_UNKNOWN', pathDetail(request))),
    )
  }

  /** Describes the types of problems at GET /problems/{code}; `config` is the route's. */
  describeProblems(config: object = {}): void {
    this.app.get<{ Params: { code: string } }>(
      `${problemsPath}/:code`,
      { exposeHeadRoute: true, config },
      ({ params }, reply) => {
        const body = problemDescription(params.code)
        const answer =
          body === undefined
            ? problemOf('REQUEST_PATH_UNKNOWN', { detail: 'there is no such problem' })
            : { status: 200, body, retryAfterSeconds: 0 }
        send(reply, answer)
      },
    )
  }

  /** Why a call is rejected before its content is read. */
  private rejectionOf(request: FastifyRequest): HttpAnswer | undefined {
    const { method, raw, is404, routeOptions } = request
    if (is404) {
      const allow = this.routes.methodsOf(raw.url ?? '')
      return allow === undefined
        ? problemOf('REQUEST_PATH_UNKNOWN', pathDetail(request))
        : problemOf('REQUEST_METHOD_UNSUPPORTED', { ...pathDetail(request), headers: { allow } })
    }
    const refusal = this.options.identify?.(request)
    if (refusal !== undefined) return refusal
    const { content, stream } = routeOptions.config
    const fault = stream
      ? announcedFault(raw, stream, octetsType)
      : announcedFault(raw, content ?? (method === 'POST' ? contentDefault : undefined))
    if (fault !== undefined) return problemOf(fault.code, fault.parts)
    return (content ?? stream) === undefined || hasContent(raw)
      ? undefined
      : problemOf('REQUEST_JSON_MALFORMED', { detail: 'the body is empty' })
  }

  /** Reads the content of a call that may be read, and calls `done` with its value. */
  private read(request: FastifyRequest, payload: IncomingMessage, done: ContentDone): void {
    const { raw, response } = request
    if (!hasContent(raw)) return done(null)
    if (request.routeOptions.config.stream !== undefined) {
      if (raw.headers.expect !== undefined && this.expecting.has(raw)) response?.writeContinue()
      return done(null, payload)
    }
    const max = request.routeOptions.config.content ?? contentDefault
    this.gather(request, payload, max.bytesMax, (octets) => {
      if (octets instanceof CallFault) return done(octets)
      const end = (parsed: ParsedJson): void =>
        'detail' in parsed ? done(jsonFault(parsed)) : done(null, parsed.value)
      if (octets.length <= limits.httpSliceBytes) return end(parseJson(octets, max))
      parseContent(octets, max, nextTurn).then(end, done)
    })
  }

  private gather(
    request: FastifyRequest,
    payload: IncomingMessage,
    bytesMax: number,
    done: (octets: Buffer | CallFault) => void,
  ): void {
    const { raw, response } = request
    const connection = this.connections.of(raw.socket)
    const held = this.bytes.begin(connection.bytes, this.options.partyOf?.(request))
    if (response !== undefined) this.connections.holds(response, connection, held)
    if (raw.headers.expect !== undefined && this.expecting.has(raw)) response?.writeContinue()
    const gathering = new Gathering(held, bytesMax, Number(raw.headers['content-length'] ?? 0))
    let isOver = false
    const reject = (fault: CallFault): void => {
      if (isOver) return
      isOver = true
      // The rest of content that is rejected is discarded while the connection closes.
      payload.off('data', take)
      payload.resume()
      done(fault)
    }
    const take = (chunk: Buffer): void => {
      const fault = gathering.add(chunk)
      if (fault !== undefined) reject(fault)
    }
    payload.on('data', take)
    payload.on('end', () => {
      if (isOver) return
      isOver = true
      done(gathering.view)
    })
    // Stays: a stream without a listener for errors would end the process.
    payload.on('error', () =>
      reject(new CallFault('REQUEST_HTTP_MALFORMED', { detail: 'the body ends early' })),
    )
  }

  /** Answers a call that failed before its handler ran, or in it. */
  private answerFault(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const answer = faultAnswer(error)
    if (answer.status >= 500 && !(error instanceof BrokerError || error instanceof CallFault)) {
      const { instance } = JSON.parse(answer.body) as { instance: string }
      const route = request.routeOptions?.url
      const reason = error instanceof Error ? error.message : String(error)
      this.options.log.error({ route, reason, instance }, 'an HTTP call failed')
    }
    this.send(request, reply, answer)
  }

  /**
   * Sends `answer`, and closes the connection behind it when there is content that was not read.
   */
  private send(request: FastifyRequest, reply: FastifyReply, answer: HttpAnswer): void {
    const { raw } = request
    if (hasContent(raw) && !raw.complete) {
      reply.header('connection', 'close')
      this.connections.closeAfter(raw)
    }
    send(reply, answer)
  }
}

type CallName = { method?: string | undefined; url?: string | undefined }

const pathDetail = ({ method, url }: CallName): { detail: string } => ({
  detail: `${method ?? ''} ${(url ?? '').slice(0, 100)}`,
})

/** Sends `answer`, and ends the call with it. */
export function send(reply: FastifyReply, answer: HttpAnswer): void {
  const { status, body } = answer
  if (status < 400 && answer.headers === undefined)
    reply.code(status).header('content-type', jsonContent).send(body)
  // As octets: to text of this type the framework adds a charset, which it does not have.
  else reply.code(status).headers(headersOf(answer)).send(Buffer.from(body))
}
