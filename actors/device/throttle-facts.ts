/**
 * Facts of alerts that are counted by their codes, and what they look like in the body of an
 * envelope; decided and applied in throttle.ts.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { copyOf } from '../../core/base/bytes.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { readKind, readTime } from '../../core/envelope/envelope.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import { readVersioned, versioned } from './fact-body.ts'
import { countersBody, countersIn, type Using } from './keys-facts.ts'

/** What is counted of one alert code. */
export type Throttle = {
  readonly code: number
  /** When its window began, UTC ms. */
  readonly since: number
  /** Delivered in the window. */
  readonly passed: number
  /** Held since the last notice, and when the last of them came, UTC ms. */
  readonly held: number
  readonly lastAt: number
  /** Of the last notice; 0 for none. */
  readonly sequence: number
}

/** How many alerts of a push with `code` were delivered, and how many are held. */
export type CodeCount = {
  readonly code: number
  readonly passed: number
  readonly held: number
}

/** As DEVICE_ALERTED, of a push with alerts that are counted by their codes. */
export type AlertsTaken = Pick<Using, 'counters'> & {
  type: 'ALERTS_TAKEN'
  /** UTC ms. */
  time: number
  id: RequestCounter
  /** When it came in, UTC ms, by the clock of the process that has the connection. */
  receivedAt: number
  counts: readonly CodeCount[]
}

/** The alerts with `code` that were held are over: one notice has their number. */
export type HeldAlertsTold = {
  type: 'HELD_ALERTS_TOLD'
  /** UTC ms. */
  time: number
  code: number
  /** Of the notice: notices about this code are numbered from 1, in 32 bits. */
  sequence: number
  count: number
}

export type ThrottleFact = AlertsTaken | HeldAlertsTold

const countBytes = 6
const timeBytes = 6
const takenFrontBytes = timeBytes + 1
const toldBytes = 10

/** `received u48 | length of the counters u8 | counters | (code u16 | passed u16 | held u16) …` */
export function takenBody({ receivedAt, counters, counts }: AlertsTaken): Buffer {
  const countersOctets = countersBody(counters)
  const countsAt = takenFrontBytes + countersOctets.length
  const body = Buffer.alloc(countsAt + counts.length * countBytes)
  body.writeUIntBE(receivedAt, 0, timeBytes)
  body[timeBytes] = countersOctets.length
  body.set(countersOctets, takenFrontBytes)
  let at = countsAt
  for (const { code, passed, held } of counts) {
    body.writeUInt16BE(code, at)
    body.writeUInt16BE(passed, at + 2)
    body.writeUInt16BE(held, at + 4)
    at += countBytes
  }
  return versioned(body)
}

/**
 * The fact in the envelope at `at`, or undefined when it is another one.
 * @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER
 */
export function readThrottleFact(buffer: Buffer, at: number): ThrottleFact | undefined {
  const kind = readKind(buffer, at)
  if (kind === Kind.ALERTS_TAKEN) return readTaken(buffer, at)
  return kind === Kind.HELD_ALERTS_TOLD ? readTold(buffer, at) : undefined
}

function readTaken(buffer: Buffer, at: number): AlertsTaken {
  const body = copyOf(readVersioned(buffer, at, 'alerts taken'))
  const from = takenFrontBytes + (body[timeBytes] ?? 0)
  if (body.length < from || (body.length - from) % countBytes !== 0)
    throw new BrokerError('ENVELOPE_MALFORMED', 'alerts taken')
  const counters = countersIn(body.subarray(takenFrontBytes, from))
  const counts: CodeCount[] = []
  for (let next = from; next < body.length; next += countBytes)
    counts.push({
      code: body.readUInt16BE(next),
      passed: body.readUInt16BE(next + 2),
      held: body.readUInt16BE(next + 4),
    })
  return {
    type: 'ALERTS_TAKEN',
    time: readTime(buffer, at),
    id: readRequestCounter(buffer, at + offsetOf.counter),
    receivedAt: body.readUIntBE(0, timeBytes),
    counts,
    ...(counters && { counters }),
  }
}

/** `code u16 | sequence u32 | count u32` */
export function toldBody({ code, sequence, count }: HeldAlertsTold): Buffer {
  const body = Buffer.alloc(toldBytes)
  body.writeUInt16BE(code)
  body.writeUInt32BE(sequence, 2)
  body.writeUInt32BE(count, 6)
  return versioned(body)
}

function readTold(buffer: Buffer, at: number): HeldAlertsTold {
  const body = readVersioned(buffer, at, 'held alerts')
  if (body.length !== toldBytes) throw new BrokerError('ENVELOPE_MALFORMED', 'held alerts')
  return {
    type: 'HELD_ALERTS_TOLD',
    time: readTime(buffer, at),
    code: body.readUInt16BE(),
    sequence: body.readUInt32BE(2),
    count: body.readUInt32BE(6),
  }
}
