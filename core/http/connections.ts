/**
 * The connections of an HTTP door: how many there are, what is open on each, answers to what is no
 * call of HTTP, and closing so that the peer can still read its answer. Under the framework, which
 * sees only whole calls.
 * @source RFC 9112 9.3.2 (pipelining), 9.6 (closing), RFC 9110 15.5, 15.6
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ConnectionBytes, type BytesHeld } from '../base/bytes-in-flight.ts'
import { ConnectionsPerAddress } from '../base/connections-per-address.ts'
import { limits } from '../base/limits.ts'
import { systemClock } from '../ports/clock.ts'
import { headersOf, problemOf, type HttpAnswer } from './problem.ts'

/** One connection. */
export class HttpConnection {
  readonly bytes = new ConnectionBytes()
  readonly socket: Socket
  /**
   * Octets of calls that are not answered. Node 22 closes no response that waits behind another one
   * when the connection is lost.
   */
  readonly held = new Set<BytesHeld>()
  /** Calls that are not answered. */
  openCalls = 0
  /** No further call is taken: an answer that closes the connection is on its way. */
  isClosing = false
  /** What is said once the open calls are answered, before the connection is closed. */
  last: string | undefined

  constructor(socket: Socket) {
    this.socket = socket
  }

  /** A call is answered, or cannot be any more. */
  callEnded(): void {
    this.openCalls--
    if (this.openCalls === 0 && this.last !== undefined) this.sayLast(this.last)
  }

  sayLast(text: string): void {
    this.isClosing = true
    if (this.socket.writable) this.socket.end(text)
    this.linger()
  }

  /**
   * Closes in the way that lets the peer read what it was sent: our side at once, the other one
   * when the peer has closed it, or after `httpLingerMs`. What it still sends is discarded.
   */
  linger(): void {
    const { socket } = this
    if (socket.destroyed) return
    const before = socket.bytesRead
    const endMs = systemClock.elapsedMs() + limits.httpLingerMs
    let disarm = (): void => undefined
    const look = (): void => {
      const isOver = systemClock.elapsedMs() >= endMs
      if (isOver || socket.bytesRead - before > limits.httpLingerBytesMax) socket.destroy()
      else disarm = systemClock.at(systemClock.now() + limits.httpLingerLookMs, look)
    }
    look()
    socket.once('close', () => disarm())
    socket.once('end', () => socket.destroy())
    socket.resume()
  }
}

/** A whole answer as text, for a peer whose call the framework did not see. */
export function answerText(answer: HttpAnswer): string {
  const head = Object.entries({ ...headersOf(answer), connection: 'close' })
  const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const date = `date: ${new Date().toUTCString()}\r\n`
  const { status, body } = answer
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${date}${lines}\r\n${body}`
}

/**
 * What node:http says of octets that it cannot read; the packet is a Buffer, whatever its types
 * say.
 */
type ParserFault = Error & {
  code?: string
  rawPacket?: unknown
  bytesParsed?: number
  reason?: string
}

/** The line of the packet in which the parser stopped: a packet may hold several calls. */
function lineOf({ rawPacket }: ParserFault, bytesParsed: number): string {
  if (!Buffer.isBuffer(rawPacket)) return ''
  const text = rawPacket.toString('latin1')
  const before = text.lastIndexOf('\r\n', Math.max(0, bytesParsed - 1))
  return text.slice(before < 0 ? 0 : before + 2).split('\r\n', 1)[0]!
}

const requestLine = /^([!#$%&'*+.^_`|~\w-]+) \S+ HTTP\/(\d+(?:\.\d+)?)$/

/** The answer to octets that are no call of HTTP, by the code of the parser. */
function parserAnswer(fault: ParserFault): HttpAnswer {
  const { code = '', reason, bytesParsed = 0 } = fault
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return problemOf('REQUEST_TIMED_OUT')
  if (code === 'HPE_HEADER_OVERFLOW') {
    const isTarget = lineOf(fault, 0).length > limits.httpTargetBytesMax
    return problemOf('REQUEST_HEADERS_EXCEEDED', isTarget ? { status: 414 } : {})
  }
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return problemOf('REQUEST_SIZE_EXCEEDED', { detail: 'extensions of chunks' })
  const isLine = requestLine.test(lineOf(fault, bytesParsed))
  if (code === 'HPE_INVALID_METHOD' && isLine)
    return problemOf('REQUEST_METHOD_UNSUPPORTED', { status: 501 })
  if (code === 'HPE_INVALID_VERSION' && isLine)
    return problemOf('REQUEST_HTTP_MALFORMED', { status: 505, detail: 'only HTTP/1.1 is spoken' })
  return problemOf('REQUEST_HTTP_MALFORMED', { detail: (reason ?? code).slice(0, 100) })
}

// As members of what they belong to: a WeakMap costs more than all checks of a call together.
const connectionKey = Symbol('connection')
const heldKey = Symbol('held')
type KnownSocket = Socket & { [connectionKey]?: HttpConnection }
type HoldingResponse = ServerResponse & { [heldKey]?: BytesHeld }

/** All connections of one door. */
export class HttpConnections {
  private readonly counts: ConnectionsPerAddress

  constructor(counts = new ConnectionsPerAddress()) {
    this.counts = counts
  }

  /** Takes a new connection, or says that there are too many and closes it. */
  readonly opened = (socket: Socket): void => {
    const connection = this.of(socket)
    const { remoteAddress } = socket
    const excess = this.counts.add(remoteAddress)
    if (excess === undefined) {
      socket.once('close', () => {
        this.counts.close(remoteAddress)
        for (const held of connection.held) held.release()
      })
      return
    }
    const detail =
      excess === 'address' ? 'this address has as many as it may' : 'the door has as many as it may'
    connection.isClosing = true
    const answer = problemOf('CONNECTIONS_EXCEEDED', {
      detail,
      ...(excess === 'door' && { status: 503 }),
    })
    // Nothing is waited for: the place of one too many must not be held.
    socket.end(answerText(answer), () => socket.destroy())
  }

  /** Counts a connection that begins a TLS handshake; one too many is closed without a word. */
  readonly counted = (socket: Socket): void => {
    const { remoteAddress } = socket
    if (this.counts.add(remoteAddress) !== undefined) return void socket.destroy()
    socket.once('close', () => this.counts.close(remoteAddress))
  }

  /** A connection whose handshake has ended. */
  readonly secured = (socket: Socket): void => {
    const connection = this.of(socket)
    socket.once('close', () => {
      for (const held of connection.held) held.release()
    })
  }

  /** Number of open connections that were taken. */
  get open(): number {
    return this.counts.open
  }

  of(socket: Socket): HttpConnection {
    return ((socket as KnownSocket)[connectionKey] ??= new HttpConnection(socket))
  }

  /** Counts a call; false when the connection takes none any more. */
  callBegan(response: ServerResponse, connection: HttpConnection): boolean {
    if (connection.isClosing) return false
    connection.openCalls++
    response.once('close', () => {
      const held = (response as HoldingResponse)[heldKey]
      held?.release()
      if (held !== undefined) connection.held.delete(held)
      connection.callEnded()
    })
    return true
  }

  /** The octets of a call are held until its response is over. */
  holds(response: ServerResponse, connection: HttpConnection, held: BytesHeld): void {
    connection.held.add(held)
    ;(response as HoldingResponse)[heldKey] = held
  }

  /**
   * Answers what the parser rejected. The answers to the calls before it go first: a client takes
   * answers in the order of its calls.
   */
  readonly rejected = (fault: ParserFault, socket: Socket): void => {
    const connection = this.of(socket)
    if (connection.isClosing || fault.code === 'ECONNRESET' || !socket.writable) {
      // A linger has its own end; the rest is of no use any more.
      if (!connection.isClosing) socket.destroy()
      return
    }
    connection.isClosing = true
    const text = answerText(parserAnswer(fault))
    const current = (socket as { _httpMessage?: ServerResponse })._httpMessage
    const isOfCurrent = current !== undefined && !current.req.complete
    if (connection.openCalls === 0 || (isOfCurrent && connection.openCalls === 1))
      return current?.headersSent === true ? void socket.destroy() : connection.sayLast(text)
    connection.last = text
  }

  /** The answer that is being written closes the connection; see `HttpConnection.linger`. */
  closeAfter(request: IncomingMessage): void {
    const connection = this.of(request.socket)
    connection.isClosing = true
    const { socket } = connection
    socket.destroySoon = () => {
      socket.end()
      connection.linger()
    }
  }
}
