/**
 * What general-ciphering and general-signing begin with, and octet strings as they stand in all
 * protected APDUs:
 *
 *   tag | transaction id | originator's system title | recipient's system title | date-time | other information | …
 *
 * each field a length and as many octets. [IEC 62056-5-3, ASN.1 module, General-Ciphering and
 * General-Signing]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { ApduTag } from '../apdu/constants.ts'
import { cutShort, lengthBytes, lengthBytesFor, readLength, writeLength } from '../axdr/layout.ts'
import { systemTitleBytes } from './suite.ts'

/**
 * The octet string whose length stands at `at`; a view. @throws BrokerError DLMS_LENGTH_INVALID
 * when it runs past the end
 */
export function octetStringView(view: Buffer, at: number): Buffer {
  const bytes = readLength(view, at)
  const start = at + lengthBytes(view, at)
  if (bytes > view.length - start) throw cutShort(at)
  return view.subarray(start, start + bytes)
}

/** Where `field`, a view on `view`, ends in it. */
export function endOf(view: Buffer, field: Buffer): number {
  return field.byteOffset - view.byteOffset + field.length
}

/**
 * The octet string at `at`, which must be the last of `view`. @throws BrokerError
 * DLMS_LENGTH_INVALID
 */
export function lastOctetStringView(view: Buffer, at: number): Buffer {
  const field = octetStringView(view, at)
  if (endOf(view, field) !== view.length)
    throw new BrokerError('DLMS_LENGTH_INVALID', `octets left over behind octet ${at}`)
  return field
}

/** Octets that an octet string of `bytes` takes with its length. */
export function octetStringBytes(bytes: number): number {
  return lengthBytesFor(bytes) + bytes
}

/** Writes `field` with its length; returns the offset behind it. */
export function writeOctetString(out: Uint8Array, at: number, field: Uint8Array): number {
  const start = writeLength(out, at, field.length)
  out.set(field, start)
  return start + field.length
}

/**
 * Views on the fields; `fieldsView` is all five with their lengths, as additional authenticated
 * data takes them.
 */
export type GeneralHeader = {
  readonly transactionId: Buffer
  readonly originator: Buffer
  readonly recipient: Buffer
  readonly fieldsView: Buffer
}

/**
 * Reads the header of `view`, a general-ciphering or general-signing. @throws BrokerError
 * DLMS_LENGTH_INVALID
 */
export function readGeneralHeader(view: Buffer): GeneralHeader {
  const transactionId = octetStringView(view, 1)
  const originator = octetStringView(view, endOf(view, transactionId))
  const recipient = octetStringView(view, endOf(view, originator))
  const dateTime = octetStringView(view, endOf(view, recipient))
  const other = octetStringView(view, endOf(view, dateTime))
  return {
    transactionId,
    originator,
    recipient,
    fieldsView: view.subarray(1, endOf(view, other)),
  }
}

export function generalHeaderBytes(
  transactionId: Uint8Array,
  originator: Uint8Array,
  recipient: Uint8Array,
): number {
  return [transactionId, originator, recipient].reduce(
    (sum, { length }) => sum + octetStringBytes(length),
    1 + 2,
  )
}

/** Writes tag and header, date-time and other information empty; returns the offset behind them. */
export function writeGeneralHeader(
  out: Uint8Array,
  tag: number,
  transactionId: Uint8Array,
  originator: Uint8Array,
  recipient: Uint8Array,
): number {
  out[0] = tag
  let at = writeOctetString(out, 1, transactionId)
  at = writeOctetString(out, at, originator)
  at = writeOctetString(out, at, recipient)
  out[at] = 0
  out[at + 1] = 0
  return at + 2
}

/**
 * The system title in an octet-string, a view: one maker writes its length a second time, within.
 */
export const systemTitleOf = (view: Buffer): Buffer =>
  view.length === systemTitleBytes + 1 && view[0] === systemTitleBytes ? view.subarray(1) : view

/**
 * The sender's system title in a general APDU, a view; undefined in all others, and in those that
 * leave it out. To find the channel by.
 */
export function readSenderTitle(apduView: Buffer): Buffer | undefined {
  const tag = apduView[0]
  let title: Buffer | undefined
  if (tag === ApduTag.GENERAL_GLO_CIPHERING || tag === ApduTag.GENERAL_DED_CIPHERING)
    title = systemTitleOf(octetStringView(apduView, 1))
  else if (tag === ApduTag.GENERAL_CIPHERING || tag === ApduTag.GENERAL_SIGNING)
    title = readGeneralHeader(apduView).originator
  return title?.length === 0 ? undefined : title
}
