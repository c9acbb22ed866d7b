/**
 * What the load client has in flight: pre-encoded requests by device, rising counters, and the
 * latency of what came back. Time is passed in; nothing here does I/O.
 */
import { readEui64, parseEui64Into, type Eui64 } from '../../core/base/eui64.ts'
import {
  bytesField,
  findBytes,
  readVarint,
  skipField,
  textField,
  writeVarint,
  type Cursor,
} from './wire.ts'

// Counters start here, so that every one of them is a varint of six octets and can be written in
// place.
const counterBase = 2 ** 36
const counterBytes = 6
const keyStride = 2 ** 24

export type Tally = {
  requests: number
  delivered: number
  refused: number
  /** Deliveries with another code than I0. */
  failed: number
  duplicates: number
  missing: number
}

/** The requests of one party towards a fleet. */
export class Flight {
  readonly deviceCount: number
  readonly tally: Tally = {
    requests: 0,
    delivered: 0,
    refused: 0,
    failed: 0,
    duplicates: 0,
    missing: 0,
  }
  /** Codes of refusals and failures, counted. */
  readonly codes = new Map<string, number>()
  private readonly templates: Buffer[]
  private readonly counterAt: number
  private readonly counters: Float64Array
  private readonly deviceOf = new Map<Eui64, number>()
  private readonly idle: Int32Array
  private idleHead = 0
  private idleCount: number
  // Device and counter in one number, to the time that its latency counts from.
  private readonly started = new Map<number, number>()
  private latencies = new Float64Array(65_536)
  /** Latencies measured since `measure`. */
  latencyCount = 0
  private measureFrom = Infinity
  private readonly key = Buffer.alloc(8)
  private readonly cursor: Cursor = { at: 0, value: 0 }
  private readonly inner: Cursor = { at: 0, value: 0 }
  private readonly range = { start: 0, end: 0 }

  /**
   * @param devices EUI-64 as sixteen hexadecimal digits
   * @param perDevice requests that one device may have in flight
   */
  constructor(party: string, devices: readonly string[], srv: string, perDevice = 1) {
    this.deviceCount = devices.length
    this.templates = devices.map((device) => encodeTemplate(party, device, srv))
    this.counterAt = this.templates[0]!.indexOf(encodeCounter(counterBase))
    this.counters = new Float64Array(devices.length)
    devices.forEach((device, index) => {
      const view = Buffer.from(device)
      if (!parseEui64Into(view, 0, view.length, this.key, 0))
        throw new Error(`not an EUI-64: ${device}`)
      this.deviceOf.set(readEui64(this.key), index)
    })
    this.idle = new Int32Array(devices.length * perDevice)
    for (let i = 0; i < this.idle.length; i++) this.idle[i] = i % devices.length
    this.idleCount = this.idle.length
  }

  get inFlight(): number {
    return this.started.size
  }

  get hasIdle(): boolean {
    return this.idleCount > 0
  }

  /** Octets of one request inside a batch, tag and length included. */
  get requestBytes(): number {
    return this.templates[0]!.length
  }

  /** Takes the next idle device and returns its index. */
  private takeIdle(): number {
    const device = this.idle[this.idleHead]!
    this.idleHead = (this.idleHead + 1) % this.idle.length
    this.idleCount--
    return device
  }

  private giveIdle(device: number): void {
    this.idle[(this.idleHead + this.idleCount) % this.idle.length] = device
    this.idleCount++
  }

  /**
   * Writes the next request as a repeated field 1 at `at`; its latency counts from `startedMs`.
   * Returns the offset behind it.
   */
  writeRequest(out: Buffer, at: number, startedMs: number): number {
    const device = this.takeIdle()
    const counter = ++this.counters[device]!
    this.started.set(device * keyStride + counter, startedMs)
    this.tally.requests++
    const template = this.templates[device]!
    template.copy(out, at)
    writeVarint(out, at + this.counterAt, counterBase + counter)
    return at + template.length
  }

  /** The next request as JSON of the HTTP gateway. */
  nextJson(startedMs: number, party: string, devices: readonly string[], srv: string): string {
    const device = this.takeIdle()
    const counter = ++this.counters[device]!
    this.started.set(device * keyStride + counter, startedMs)
    this.tally.requests++
    return `{"requestId":{"originator":"${party}","target":"${devices[device]!}","counter":"${counterBase + counter}"},"serviceReferenceVariant":"${srv}"}`
  }

  /** Begins to keep latencies of requests that started at or after `ms`. */
  measure(ms: number): void {
    this.measureFrom = ms
    this.latencyCount = 0
  }

  stopMeasuring(): void {
    this.measureFrom = Infinity
  }

  /** Latencies measured so far, sorted, ms. */
  sortedLatencies(): Float64Array {
    return this.latencies.slice(0, this.latencyCount).sort()
  }

  /**
   * Takes refusals out of a SubmitStreamResponse or SubmitBatchResponse; returns the number of
   * acknowledgements.
   */
  onAcknowledgements(message: Buffer): number {
    const { cursor } = this
    let count = 0
    for (cursor.at = 0; cursor.at < message.length; count++) {
      cursor.at++
      const length = readVarint(message, cursor)
      const start = cursor.at
      cursor.at += length
      this.onAcknowledgement(message, start, cursor.at)
    }
    return count
  }

  /** One Acknowledgement at `[start, end)`. */
  onAcknowledgement(message: Buffer, start: number, end: number): void {
    if (!findBytes(message, start, end, 2, this.range)) return
    const code = message.toString('latin1', this.range.start, this.range.end)
    if (code === 'I99') return
    this.tally.refused++
    const reason = findBytes(message, start, end, 3, this.range)
      ? message.toString('latin1', this.range.start, this.range.end)
      : code
    this.count(reason)
    const key = this.requestKey(message, start, end)
    if (key >= 0 && this.started.delete(key)) this.giveIdle(Math.floor(key / keyStride))
  }

  /** Takes the deliveries of a ReceiveResponse and returns the last delivery id, or 0. */
  onDeliveries(message: Buffer, nowMs: number): number {
    const { cursor } = this
    let last = 0
    cursor.at = 0
    while (cursor.at < message.length) {
      cursor.at++
      const length = readVarint(message, cursor)
      const end = cursor.at + length
      if (message[cursor.at] === 0x08) {
        cursor.at++
        last = readVarint(message, cursor)
      }
      if (findBytes(message, cursor.at, end, 2, this.range))
        this.onResponse(message, this.range.start, this.range.end, nowMs)
      cursor.at = end
    }
    return last
  }

  private onResponse(message: Buffer, start: number, end: number, nowMs: number): void {
    const key = this.requestKey(message, start, end)
    const startedMs = this.started.get(key)
    if (startedMs === undefined) {
      this.tally.duplicates++
      return
    }
    this.started.delete(key)
    this.tally.delivered++
    this.giveIdle(Math.floor(key / keyStride))
    if (findBytes(message, start, end, 3, this.range)) {
      // "I0": anything else is a failure of the request.
      if (this.range.end - this.range.start !== 2 || message[this.range.start] !== 73) {
        this.tally.failed++
        this.count(
          findBytes(message, start, end, 4, this.range)
            ? message.toString('latin1', this.range.start, this.range.end)
            : 'unnamed',
        )
      }
    }
    if (startedMs >= this.measureFrom) {
      if (this.latencyCount === this.latencies.length) {
        const larger = new Float64Array(this.latencies.length * 2)
        larger.set(this.latencies)
        this.latencies = larger
      }
      this.latencies[this.latencyCount++] = nowMs - startedMs
    }
  }

  // Finds the RequestId (field 1) in [start, end) and makes the key of `started` from it, or -1.
  private requestKey(message: Buffer, start: number, end: number): number {
    const { range, inner } = this
    if (!findBytes(message, start, end, 1, range)) return -1
    const idEnd = range.end
    let device: number | undefined
    let counter = -1
    inner.at = range.start
    while (inner.at < idEnd) {
      const tag = readVarint(message, inner)
      if (tag === 0x12) {
        const length = readVarint(message, inner)
        if (parseEui64Into(message, inner.at, inner.at + length, this.key, 0))
          device = this.deviceOf.get(readEui64(this.key))
        inner.at += length
      } else if (tag === 0x18) counter = readVarint(message, inner) - counterBase
      else skipField(message, inner, tag)
    }
    return device === undefined || counter < 0 ? -1 : device * keyStride + counter
  }

  private count(code: string): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
  }

  /** Gives up on what is still in flight and counts it as missing. */
  abandon(): void {
    this.tally.missing += this.started.size
    for (const key of this.started.keys()) this.giveIdle(Math.floor(key / keyStride))
    this.started.clear()
  }
}

function encodeCounter(counter: number): Buffer {
  const out = Buffer.alloc(1 + counterBytes)
  out[0] = 0x18
  const end = writeVarint(out, 1, counter)
  if (end !== out.length) throw new Error('the counter does not take six octets')
  return out.subarray(1)
}

function encodeTemplate(party: string, device: string, srv: string): Buffer {
  const id = Buffer.concat([
    textField(1, party),
    textField(2, device),
    Buffer.of(0x18),
    encodeCounter(counterBase),
  ])
  return bytesField(1, Buffer.concat([bytesField(1, id), textField(2, srv)]))
}
