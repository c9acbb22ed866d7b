/**
 * In front of the gRPC door: decides about connections, sessions and calls before grpc-js sees
 * them. A call without a known party, to an unknown method or with malformed headers ends at its
 * headers: no message of it is read. Limits connections by address, calls by party, frames that
 * only cost time, and what is not complete in time (call-gate.ts).
 *
 * grpc-js offers no hook before it begins to read a call, and none for connections, so this
 * replaces the listeners of the HTTP/2 server that grpc-js keeps (1.14: Server.http2Servers); a
 * test in test/core/gateway proves that they are found.
 */
import {
  constants,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Server } from '@grpc/grpc-js'
import {
  detailOf as certificateDetailOf,
  identify,
  partyHeader,
  type ConnectionCertificate,
} from '../../access/identity.ts'
import type { PartySource } from '../../access/directory.ts'
import type { RejectionSink } from '../../access/rejection-sink.ts'
import { assert } from '../../base/assert.ts'
import { ConnectionPlaces } from '../../base/connection-places.ts'
import { addressKey } from '../../base/connections-per-address.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import type { Clock } from '../../ports/clock.ts'
import { headersOf, problemOf, type HttpAnswer } from '../../http/problem.ts'
import type { Counter, Metrics } from '../../ports/metrics.ts'
import { ConnectionBytes, type BytesInFlight } from '../../base/bytes-in-flight.ts'
import { CallGate, endStream, type CallOwner, type MethodRule } from './call-gate.ts'
import { refusalResponse } from './call-status.ts'
import { streamOf } from './call-reset.ts'
import type { PartyTls } from '../party-tls.ts'
import type { PartyAccount, PartyAccounts } from '../intake/party-account.ts'
import { countCaller } from '../intake/rejected.ts'
import { grpcRefusal } from './refusal.ts'

export type GrpcGatePorts = {
  parties: PartySource
  accounts: PartyAccounts
  bytes: BytesInFlight
  clock: Clock
  metrics: Metrics
  tls?: PartyTls | undefined
  /** Left out, no rejection is recorded. */
  rejections?: RejectionSink | undefined
}

type Connection = {
  readonly socket: Socket
  /** Over `socket`, once the handshake has ended. */
  secured: TLSSocket | undefined
  readonly bytes: ConnectionBytes
  readonly sinceMs: number
  session: ServerHttp2Session | undefined
  /** Calls rejected for their headers since the last good one. */
  refusals: number
  /** Frames that only cost, and calls that were reset, since `floodSinceMs`. */
  frames: number
  resets: number
  floodSinceMs: number
}

type Listener = (...values: never[]) => void

/** grpc-timeout: at most eight digits and a unit. @source gRPC over HTTP2, "Timeout" */
const timeoutText = /^\d{1,8}[HMSmun]$/

export class GrpcGate implements CallOwner {
  readonly bytes: BytesInFlight
  private readonly ports: GrpcGatePorts
  private readonly rules: ReadonlyMap<string, MethodRule>
  private readonly places = new ConnectionPlaces<Connection>({
    connectionsMax: limits.doorConnectionsMax,
    perAddressMax: limits.addressConnectionsMax,
    unprovenMax: limits.doorUnprovenMax,
    unprovenPerAddressMax: limits.addressConnectionsMax,
  })
  private readonly sessions = new WeakMap<object, Connection>()
  private readonly gates = new WeakMap<object, CallGate>()
  /** Accepted, and not yet known to speak HTTP/2. */
  private readonly speechless = new Set<Connection>()
  private readonly watched = new Set<CallGate>()
  private arriving: Connection | undefined
  /** Connections of a door with TLS, by `peerKey`: the socket of TLS is another object. */
  private readonly handshakes = new Map<string, Connection>()
  private callCount = 0
  private probeCount = 0
  private disarm: (() => void) | undefined
  private isClosed = false
  private readonly refusedConnections: Counter
  private readonly refusedCalls = new Map<ErrorCode, Counter>()

  /** @param rules  by path, for example `/busbar.v1.InputGateway/Submit` */
  constructor(ports: GrpcGatePorts, rules: ReadonlyMap<string, MethodRule>) {
    this.ports = ports
    this.bytes = ports.bytes
    this.rules = rules
    const { metrics } = ports
    metrics.gauge(
      'busbar_grpc_connections_open',
      'Connections to the gRPC door',
      () => this.places.count,
    )
    metrics.gauge('busbar_grpc_calls_open', 'gRPC calls that have not ended', () => this.callCount)
    this.refusedConnections = metrics.counter(
      'busbar_grpc_connections_refused_total',
      'Connections to the gRPC door that were closed because of a limit',
    )
  }

  /** Stands in front of `server`, which listens already. */
  guard(server: Server): void {
    const kept: unknown = Reflect.get(server, 'http2Servers')
    assert(kept instanceof Map && kept.size > 0, 'grpc-js keeps its HTTP/2 servers')
    for (const http2Server of kept.keys() as Iterable<Http2Server>) {
      replace(
        http2Server,
        'connection',
        (inner) => (socket: Socket) =>
          this.onConnection(socket, inner.bind(http2Server) as (socket: Socket) => void),
      )
      this.guardHandshakes(http2Server)
      replace(
        http2Server,
        'stream',
        (inner) =>
          (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) =>
            this.onStream(stream, headers, () =>
              (inner as (...values: unknown[]) => void).call(http2Server, stream, headers, ...rest),
            ),
      )
      http2Server.on('session', (session) => this.onSession(session))
    }
  }

  /** Knows the connection again whose TLS handshake has ended, while its session is made. */
  private guardHandshakes(http2Server: Http2Server): void {
    const { tls } = this.ports
    if (tls === undefined) return
    http2Server.prependListener('secureConnection', (secured: TLSSocket) => {
      const connection = this.handshakes.get(peerKey(secured))
      if (connection === undefined) return void secured.destroy()
      connection.secured = secured
      tls.opened(secured)
      this.arriving = connection
    })
    http2Server.on('secureConnection', () => (this.arriving = undefined))
    // What cannot speak TLS gets no answer: it could not read one.
    http2Server.on('tlsClientError', (_fault: Error, secured: TLSSocket) => secured.destroy())
  }

  /** Of a call that grpc-js gives to a handler. */
  gateOf(call: object): CallGate {
    const stream = streamOf(call)
    const gate = stream && this.gates.get(stream)
    assert(gate !== undefined, 'grpc-js keeps the stream of a call')
    return gate
  }

  close(): void {
    this.isClosed = true
    this.disarm?.()
    for (const { socket } of this.speechless) socket.destroy()
  }

  elapsedMs(): number {
    return this.ports.clock.elapsedMs()
  }

  watch(gate: CallGate): void {
    this.watched.add(gate)
    this.arm()
  }

  rest(gate: CallGate): void {
    this.watched.delete(gate)
  }

  ended({ account }: CallGate): void {
    if (account === undefined) this.probeCount--
    else {
      account.calls--
      this.callCount--
    }
  }

  refused(code: ErrorCode): void {
    let counter = this.refusedCalls.get(code)
    if (counter === undefined) {
      const name = 'busbar_grpc_calls_refused_total'
      const help = 'gRPC calls that ended before a handler had their message, by code'
      counter = this.ports.metrics.counter(name, help, { code })
      this.refusedCalls.set(code, counter)
    }
    counter.add()
  }

  // ── connections ──

  private onConnection(socket: Socket, accept: (socket: Socket) => void): void {
    const now = this.elapsedMs()
    const connection: Connection = {
      socket,
      secured: undefined,
      bytes: new ConnectionBytes(),
      sinceMs: now,
      session: undefined,
      refusals: 0,
      frames: 0,
      resets: 0,
      floodSinceMs: now,
    }
    const { isAdmitted, evicted } = this.places.admit(connection, addressKey(socket.remoteAddress))
    if (evicted !== undefined) this.cut(evicted)
    if (!isAdmitted) {
      this.refusedConnections.add()
      return void socket.on('error', () => undefined).destroy()
    }
    const key = peerKey(socket)
    if (this.ports.tls !== undefined) this.handshakes.set(key, connection)
    socket.once('close', () => {
      if (this.handshakes.get(key) === connection) this.handshakes.delete(key)
      this.forget(connection)
    })
    this.speechless.add(connection)
    this.arm()
    this.arriving = connection
    accept(socket)
    this.arriving = undefined
  }

  private cut(connection: Connection): void {
    this.refusedConnections.add()
    if (connection.session !== undefined) connection.session.destroy()
    connection.socket.destroy()
  }

  private forget(connection: Connection): void {
    this.places.release(connection)
    this.speechless.delete(connection)
  }

  /** node:http2 makes the session of a connection while it is being accepted. */
  private onSession(session: ServerHttp2Session): void {
    const connection = this.arriving
    if (connection === undefined) return
    connection.session = session
    this.sessions.set(session, connection)
    session.on('error', () => undefined)
    session.once('remoteSettings', () => this.speechless.delete(connection))
    const count = (): void => this.countFrame(connection, session)
    session.on('ping', count)
    session.on('remoteSettings', count)
  }

  /** PING and SETTINGS must be answered, at no cost for their sender. */
  private countFrame(connection: Connection, session: ServerHttp2Session): void {
    this.beginCount(connection)
    if (++connection.frames > limits.connectionPingsMax) this.calm(session)
  }

  /** A call that is reset has cost its beginning, and leaves room for the next one at once. */
  private countReset(connection: Connection): void {
    this.beginCount(connection)
    if (++connection.resets > limits.connectionResetsMax && connection.session !== undefined)
      this.calm(connection.session)
  }

  private beginCount(connection: Connection): void {
    const now = this.elapsedMs()
    if (now - connection.floodSinceMs < limits.connectionFloodMs) return
    connection.floodSinceMs = now
    connection.frames = connection.resets = 0
  }

  /** Ends a connection that only costs. */
  private calm(session: ServerHttp2Session): void {
    if (session.destroyed) return
    this.refusedConnections.add()
    session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  // ── calls ──

  private onStream(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    serve: () => void,
  ): void {
    // What it is about is seen at its end, which always comes.
    stream.on('error', () => undefined)
    const connection = stream.session && this.sessions.get(stream.session)
    if (connection !== undefined)
      stream.once('close', () => {
        if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) this.countReset(connection)
      })
    const problem = notGrpc(headers)
    if (problem !== undefined) {
      this.countRefusal('CALL_HEADER_INVALID', connection)
      stream.respond({ ':status': problem.status, ...headersOf(problem) })
      stream.end(problem.body)
      return void stream.resume()
    }
    const rule = this.rules.get(headers[':path'] ?? '')
    const certificate = this.ports.tls?.certificateOf(connection?.secured)
    const account = rule?.needsParty === true ? this.identify(headers, certificate) : undefined
    if (typeof account === 'string')
      countCaller(this.ports.rejections, account, connection?.socket.remoteAddress)
    const code = this.faultOf(headers, rule, account)
    if (code !== undefined || rule === undefined || typeof account === 'string') {
      this.countRefusal(code!, connection)
      const detail = detailOf(code!, headers) ?? certificateDetailOf(code!, certificate)
      return endStream(stream, refusalResponse(grpcRefusal(code!, detail)))
    }
    if (account === undefined) this.probeCount++
    else {
      account.calls++
      this.callCount++
      if (connection !== undefined) {
        connection.refusals = 0
        this.places.prove(connection)
      }
    }
    const encoding = headers['grpc-encoding']
    const gate = new CallGate(this, stream, {
      connection: connection?.bytes ?? new ConnectionBytes(),
      rule,
      account,
      encoding: typeof encoding === 'string' ? encoding : undefined,
    })
    this.gates.set(stream, gate)
    serve()
    gate.guard()
  }

  private identify(
    headers: IncomingHttpHeaders,
    certificate: ConnectionCertificate | undefined,
  ): PartyAccount | ErrorCode {
    const value = headers[partyHeader]
    if (Array.isArray(value)) return 'PARTY_HEADER_MALFORMED'
    const party = identify(value, this.ports.parties.known, certificate)
    return typeof party === 'string' ? party : this.ports.accounts.of(party)
  }

  /** Why a call ends at its headers. */
  private faultOf(
    headers: IncomingHttpHeaders,
    rule: MethodRule | undefined,
    account: PartyAccount | ErrorCode | undefined,
  ): ErrorCode | undefined {
    if (rule === undefined) return 'CALL_METHOD_UNKNOWN'
    if (typeof account === 'string') return account
    const timeout = headers['grpc-timeout']
    if (timeout !== undefined && !(typeof timeout === 'string' && timeoutText.test(timeout)))
      return 'CALL_HEADER_INVALID'
    if (headerBytesOf(headers) > limits.callHeaderBytesMax) return 'CALL_HEADER_INVALID'
    const isFull =
      account === undefined
        ? this.probeCount >= limits.probeStreamsMax
        : account.calls >= limits.partyCallsMax || this.callCount >= limits.gatewayCallsMax
    return isFull ? 'BROKER_GATEWAY_BUSY' : undefined
  }

  private countRefusal(code: ErrorCode, connection: Connection | undefined): void {
    this.refused(code)
    if (connection?.session === undefined || code === 'BROKER_GATEWAY_BUSY') return
    // The answer to this call goes out first.
    if (++connection.refusals > limits.connectionRefusalsMax)
      setImmediate(() => this.calm(connection.session!))
  }

  // ── time ──

  /** One timer for all, while there is something to look at. */
  private arm(): void {
    if (this.disarm !== undefined || this.isClosed) return
    const { clock } = this.ports
    this.disarm = clock.at(clock.now() + limits.callLookMs, () => {
      this.disarm = undefined
      this.look()
      if (this.watched.size > 0 || this.speechless.size > 0) this.arm()
    })
  }

  private look(): void {
    const now = this.elapsedMs()
    for (const gate of this.watched) gate.onTime(now)
    for (const connection of this.speechless) {
      if (now - connection.sinceMs < limits.connectionPrefaceMsMax) break
      this.cut(connection)
    }
  }
}

/** No two open connections to one port have the same. */
const peerKey = ({ remoteAddress, remotePort, localAddress }: Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress}`

/** Puts `wrap` around all listeners of `event` together. */
function replace(server: Http2Server, event: string, wrap: (inner: Listener) => Listener): void {
  const listeners = server.listeners(event) as ((...values: unknown[]) => void)[]
  for (const listener of listeners) server.removeListener(event, listener)
  const inner = function (this: unknown, ...values: unknown[]): void {
    for (const listener of listeners) listener.apply(this, values)
  }
  server.on(event, wrap(inner as Listener) as (...values: unknown[]) => void)
}

/**
 * Something that is no gRPC call gets an answer of HTTP.
 * @source gRPC over HTTP2, "Content-Type"
 */
function notGrpc(headers: IncomingHttpHeaders): HttpAnswer | undefined {
  const method = headers[':method']
  const type = headers['content-type'] ?? ''
  if (method !== 'POST')
    return problemOf('CALL_HEADER_INVALID', {
      status: 405,
      detail: `a gRPC call is a POST, not ${method}`,
      headers: { allow: 'POST' },
    })
  if (!/^application\/grpc(\+proto)?(;|$)/.test(type))
    return problemOf('CALL_HEADER_INVALID', {
      status: 415,
      detail: 'the content type is not application/grpc',
    })
  return undefined
}

function headerBytesOf(headers: IncomingHttpHeaders): number {
  let bytes = 0
  for (const name in headers) {
    const value = headers[name]
    bytes += name.length
    if (typeof value === 'string') bytes += value.length
    else if (value !== undefined) for (const one of value) bytes += one.length
  }
  return bytes
}

function detailOf(code: ErrorCode, headers: IncomingHttpHeaders): string | undefined {
  if (code !== 'CALL_HEADER_INVALID') return undefined
  const bytes = headerBytesOf(headers)
  return bytes > limits.callHeaderBytesMax ? `${bytes} octets of headers` : 'grpc-timeout'
}
