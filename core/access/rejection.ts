/**
 * The record of a rejected request: who asked what of which device, when, the check that failed,
 * and by which version of the directory and of the rights it was decided. Never the request's body,
 * only a hash of it. Pure.
 *
 * Only what a party has to correct is a rejection. An answer to come again later
 * (DEVICE_QUEUE_FULL, BROKER_STORAGE_LOW) decides nothing about the request, and leaves no record.
 */
import { hash } from 'node:crypto'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { readRequestCounter, type RequestCounter } from '../base/counter.ts'
import { errorTable, type ErrorCode } from '../base/error-table.ts'
import { bytesOfEui64, readEui64, type Eui64 } from '../base/eui64.ts'
import type { Srv } from '../base/srv.ts'
import {
  readBodyView,
  readOriginator,
  readOutcome,
  readSrv,
  readTime,
} from '../envelope/envelope.ts'
import { offsetOf } from '../envelope/layout.ts'
import { readMeterPoint, type MeterPointId } from '../registration/meter-point.ts'
import { packTree, readTree } from '../registration/versioned-tree.ts'
import { accessChecks } from './access-rules.ts'

/** Rights of one meter point by which a device decided. */
export type RightsVersion = { readonly point: MeterPointId; readonly version: number }

export type Rejection = {
  /** The RequestID, as the request named it. */
  readonly originator: Eui64
  readonly target: Eui64
  readonly counter: RequestCounter
  /** 0 when the request named none that is known. */
  readonly srv: Srv
  /** Row of the error table. */
  readonly outcome: number
  /** UTC ms. */
  readonly time: number
  /** The failed check, of access-rules.json; empty for one that has no name there. */
  readonly check: string
  /** See `contentHashOf`. */
  readonly contentHash: Buffer
  /** 1 to 9; 0 for none, or where it is not looked at. */
  readonly commandVariant: number
  /** Of the directory by which it was decided. */
  readonly directorySequence: number
  /** Those by which it was decided; empty when a gateway decided. */
  readonly rights: readonly RightsVersion[]
}

/** True for a code that rejects a request for good, so that it is recorded. */
export function isRejection(code: ErrorCode): boolean {
  const { retry, fault } = errorTable[code]
  return retry === 'never' && fault === 'party'
}

/** The check of access-rules.json that fails with `code`; empty for none. */
export const failedCheckOf = (code: ErrorCode): string =>
  accessChecks.find(({ codes }) => codes.includes(code))?.id ?? ''

export const contentHashBytes = 16

/** Half of the SHA-256 of a request's variant, the type of its body and the body. */
export function contentHashOf(srv: Srv, bodyType: number, bodyView: Uint8Array): Buffer {
  const front = Buffer.alloc(6)
  front.writeUInt32BE(srv, 0)
  front.writeUInt16BE(bodyType, 4)
  return hash('sha256', Buffer.concat([front, bodyView]), 'buffer').subarray(0, contentHashBytes)
}

/** What stands in the body of an envelope, beside its header; `target` is in it as well. */
export function rejectionBody(rejection: Rejection, ...more: unknown[]): Buffer {
  const { target, check, contentHash, commandVariant, directorySequence, rights } = rejection
  return packTree(
    bytesOfEui64(target),
    check,
    contentHash,
    commandVariant,
    directorySequence,
    rights.map(({ point, version }) => [Buffer.from(point, 'latin1'), version]),
    ...more,
  )
}

/** The members of a body that `rejectionBody` has made. */
type Members = [
  target: Uint8Array,
  check: string,
  contentHash: Uint8Array,
  commandVariant: number,
  directorySequence: number,
  rights: Array<[Uint8Array, number]>,
  ...more: unknown[],
]

/** What the header of an envelope says of a rejection. */
type Named = Pick<Rejection, 'originator' | 'counter' | 'srv' | 'outcome' | 'time'>

/**
 * The rejection with this body, in memory of its own, and what stands behind it.
 * @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER
 */
export const rejectionIn = (
  named: Named,
  bodyView: Uint8Array,
): { rejection: Rejection; more: unknown[] } =>
  readTree(bodyView, 'a rejection', (members) => {
    const [target, check, contentHash, commandVariant, directorySequence, rights, ...more] =
      members as Members
    if (target.length !== 8 || contentHash.length !== contentHashBytes)
      throw new BrokerError('ENVELOPE_MALFORMED', 'a rejection')
    const rejection = {
      ...named,
      target: readEui64(target),
      check,
      contentHash: asBuffer(Uint8Array.from(contentHash)),
      commandVariant,
      directorySequence,
      rights: rights.map(([point, version]) => ({
        point: readMeterPoint(Buffer.from(point)),
        version,
      })),
    }
    return { rejection, more }
  })

/** As `rejectionIn`, of the envelope at `at`. */
export const readRejection = (
  buffer: Buffer,
  at: number,
): { rejection: Rejection; more: unknown[] } =>
  rejectionIn(
    {
      originator: readOriginator(buffer, at),
      counter: readRequestCounter(buffer, at + offsetOf.counter),
      srv: readSrv(buffer, at) as Srv,
      outcome: readOutcome(buffer, at),
      time: readTime(buffer, at),
    },
    readBodyView(buffer, at),
  )
