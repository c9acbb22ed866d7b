/**
 * One gRPC call before grpc-js: counts the octets of its messages while they come in, knows which
 * message is not complete, and ends the call when a message is too large, too slow, or one too many
 * octets for its connection, its party or the process. Parses nothing but the five octets in front
 * of each message: compressed flag u8 | length u32, big-endian.
 *
 * grpc-js keeps what it has read of a message until the message is complete, without a limit of
 * time, and reads the next ones while a handler is at work. What it holds is counted here from the
 * octet's arrival until the handler takes the message (streams) or the call ends (calls with one
 * message).
 *
 * @source gRPC over HTTP2, "Length-Prefixed-Message"
 */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import type { BytesHeld, BytesInFlight, ConnectionBytes } from '../../base/bytes-in-flight.ts'
import { refusalResponse, withDetails } from './call-status.ts'
import type { PartyAccount } from '../intake/party-account.ts'
import { grpcRefusal } from './refusal.ts'
import type { Violation } from '../../base/violation.ts'

/** What a method takes. */
export type MethodRule = {
  /** Octets of one message. */
  readonly bytesMax: number
  /** One message, then the end of the sending side. */
  readonly isUnary: boolean
  /** False for health and reflection, which anybody may call. */
  readonly needsParty: boolean
  /** The field that is at fault when a message is too large. */
  readonly field?: string
}

/** What a call asks of the door. */
export type CallOwner = {
  readonly bytes: BytesInFlight
  elapsedMs(): number
  /** `onTime` must be called every now and then, until `rest`. */
  watch(gate: CallGate): void
  rest(gate: CallGate): void
  ended(gate: CallGate): void
  refused(code: ErrorCode): void
}

const headBytes = 5
/** What grpc-js can decompress. */
const encodings: readonly string[] = ['deflate', 'gzip']

/** What is known of a call at its headers. */
export type CallTerms = {
  connection: ConnectionBytes
  rule: MethodRule
  account: PartyAccount | undefined
  /** The grpc-encoding header. */
  encoding?: string | undefined
}

export class CallGate {
  readonly account: PartyAccount | undefined
  readonly rule: MethodRule
  private readonly owner: CallOwner
  private readonly stream: ServerHttp2Stream
  private readonly encoding: string
  /** Octets counted as in flight. */
  private readonly held: BytesHeld
  private headCount = 0
  private flag = 0
  private length = 0
  /** Octets of the present message that are still to come. */
  private left = 0
  private messageCount = 0
  /** Octets of each complete message that its handler has not taken, from `chargeAt` on. */
  private charges: number[] = []
  private chargeAt = 0
  private sinceMs: number
  private isWatched = false
  private isOver = false
  private isCompressed = false
  private hasAnswer = false
  private onRefusal: ((code: ErrorCode) => void) | undefined

  constructor(
    owner: CallOwner,
    stream: ServerHttp2Stream,
    { connection, rule, account, encoding = 'identity' }: CallTerms,
  ) {
    this.owner = owner
    this.stream = stream
    this.rule = rule
    this.account = account
    this.encoding = encoding
    this.held = owner.bytes.begin(connection, account?.party.id)
    this.sinceMs = owner.elapsedMs()
    stream.once('close', () => this.close())
    this.nameStatuses()
    if (rule.isUnary) this.watch()
  }

  /** Stands between the stream and the listeners that grpc-js has just added to it. */
  guard(): void {
    const { stream } = this
    for (const listener of stream.listeners('data') as ((chunk: Buffer) => void)[]) {
      stream.off('data', listener)
      stream.on('data', (chunk: Buffer) => {
        if (this.admit(chunk)) listener.call(stream, chunk)
      })
    }
    for (const listener of stream.listeners('end') as (() => void)[]) {
      stream.off('end', listener)
      stream.on('end', () => {
        if (this.admitEnd()) listener.call(stream)
      })
    }
  }

  /**
   * The handler of a stream ends it by itself when it is refused, after the answers that it owes.
   */
  onRefused(finish: (code: ErrorCode) => void): void {
    this.onRefusal = finish
  }

  /** The handler of a stream has taken the oldest message that is complete. */
  taken(): void {
    const bytes = this.charges[this.chargeAt]
    if (bytes === undefined) return
    this.chargeAt++
    if (this.chargeAt === this.charges.length) {
      this.charges.length = 0
      this.chargeAt = 0
    }
    this.held.shrink(bytes)
  }

  /** Counts `bytes` of the answer until the call ends; false when there is no room for them. */
  hold(bytes: number): boolean {
    if (this.isOver || this.held.grow(bytes)) return false
    this.sinceMs = this.owner.elapsedMs()
    this.hasAnswer = true
    this.watch()
    return true
  }

  /** Ends the call when its time is over. @param now  ms of elapsed time */
  onTime(now: number): void {
    // A message that waits for us is not late.
    if (this.stream.isPaused() && !this.hasAnswer) this.sinceMs = now
    const waitMsMax = this.hasAnswer ? limits.callAnswerMsMax : limits.callMessageMsMax
    if (now - this.sinceMs < waitMsMax) return
    if (this.hasAnswer) this.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    else this.refuse('CALL_MESSAGE_UNFINISHED')
  }

  /** Ends the call with `code`; what comes of it from now on is dropped. */
  refuse(code: ErrorCode, detail?: string, violations?: readonly Violation[]): void {
    if (this.isOver) return
    this.isOver = true
    this.rest()
    this.owner.refused(code)
    const { stream } = this
    if (this.onRefusal !== undefined) {
      stream.resume()
      return this.onRefusal(code)
    }
    if (stream.headersSent) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    else endStream(stream, refusalResponse(grpcRefusal(code, detail, violations)))
  }

  /** Counts what has come; false when grpc-js must not see it. */
  private admit(chunk: Buffer): boolean {
    if (this.isOver) return false
    const excess = this.held.grow(chunk.length)
    if (excess !== undefined) {
      this.refuse('BROKER_GATEWAY_BUSY', `too many octets of one ${excess} are unfinished`)
      return false
    }
    this.read(chunk)
    if (this.isOver) return false
    if (this.rule.isUnary) return true
    if (this.headCount === 0) this.rest()
    else this.watch()
    return true
  }

  private admitEnd(): boolean {
    if (this.isOver) return false
    if (this.headCount > 0) this.refuse('REQUEST_WIRE_MALFORMED', 'the last message is cut short')
    else if (this.rule.isUnary && this.messageCount === 0)
      this.refuse('REQUEST_WIRE_MALFORMED', 'the call has no message')
    if (this.isOver) return false
    this.rest()
    return true
  }

  /** Follows the messages in `chunk`. */
  private read(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.isOver;) {
      if (this.headCount < headBytes) {
        // Of a unary call the time runs from the start, of a stream for each message.
        if (this.headCount === 0 && !this.rule.isUnary) this.sinceMs = this.owner.elapsedMs()
        if (this.headCount === 0 && chunk.length - at >= headBytes) {
          this.flag = chunk[at]!
          this.length = chunk.readUInt32BE(at + 1)
          this.headCount = headBytes
          at += headBytes
        } else this.readHeadOctet(chunk[at++]!)
        if (this.headCount < headBytes) continue
        this.beginMessage()
      }
      const bytes = Math.min(this.left, chunk.length - at)
      this.left -= bytes
      at += bytes
      if (this.left === 0 && !this.isOver) this.endMessage()
    }
  }

  private readHeadOctet(octet: number): void {
    if (this.headCount === 0) {
      this.flag = octet
      this.length = 0
    } else this.length = this.length * 256 + octet
    this.headCount++
  }

  private beginMessage(): void {
    const { flag, length, rule } = this
    this.left = length
    if (rule.isUnary && this.messageCount > 0)
      return this.refuse('REQUEST_WIRE_MALFORMED', 'the call has more than one message')
    if (length > rule.bytesMax) return this.refuseSize(length)
    if (flag === 0) return
    if (flag > 1) return this.refuse('REQUEST_WIRE_MALFORMED', `compressed flag ${flag}`)
    if (this.encoding === 'identity')
      return this.refuse('REQUEST_WIRE_MALFORMED', 'compressed, without grpc-encoding')
    if (!encodings.includes(this.encoding)) this.refuse('CALL_COMPRESSION_UNSUPPORTED')
    this.isCompressed = true
  }

  private refuseSize(length: number): void {
    const { field, bytesMax } = this.rule
    const violations = field === undefined ? [] : [{ field, description: `has ${length} octets` }]
    this.refuse(
      'REQUEST_SIZE_EXCEEDED',
      `a message of ${length} octets; ${bytesMax} are allowed`,
      violations,
    )
  }

  private endMessage(): void {
    this.headCount = 0
    this.messageCount++
    let charge = headBytes + this.length
    if (this.flag === 1) {
      // What it becomes is seen when it is decompressed: at most as much as grpc-js takes.
      const more = limits.partyMessageBytesMax
      if (this.held.grow(more))
        return this.refuse('BROKER_GATEWAY_BUSY', 'too many octets are being decompressed')
      charge += more
    }
    if (!this.rule.isUnary) this.charges.push(charge)
  }

  private watch(): void {
    if (this.isWatched) return
    this.isWatched = true
    this.owner.watch(this)
  }

  private rest(): void {
    if (!this.isWatched) return
    this.isWatched = false
    this.owner.rest(this)
  }

  private close(): void {
    this.isOver = true
    this.rest()
    this.held.release()
    this.owner.ended(this)
  }

  /**
   * Statuses that libraries write get our details; and a client that still sends is stopped behind
   * one.
   */
  private nameStatuses(): void {
    const { stream } = this
    const respond = stream.respond.bind(stream)
    const sendTrailers = stream.sendTrailers.bind(stream)
    stream.respond = (headers, options) => {
      if (stream.headersSent || stream.destroyed) return
      // grpc-js gives objects.
      if (headers === undefined || Array.isArray(headers)) return respond(headers, options)
      const given = headers as OutgoingHttpHeaders
      respond(this.named(given), options)
      if (given['grpc-status'] !== undefined) stopSending(stream)
    }
    stream.sendTrailers = (headers) => {
      sendTrailers(this.named(headers))
      stopSending(stream)
    }
  }

  private named(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
    return withDetails(headers, this.isCompressed)
  }
}

/** Sends `headers` as the whole response, and drops what the client still sends. */
export function endStream(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  if (stream.destroyed || stream.headersSent) return
  stream.respond(headers, { endStream: true })
  stopSending(stream)
}

/**
 * A response may end before its request; then the client is asked to stop sending, without an
 * error.
 * @source RFC 9113, section 8.1
 */
function stopSending(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return
  stream.resume()
  // node:http2 would send the reset in place of headers that are still in its queue.
  setImmediate(() => {
    if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR)
  })
}
