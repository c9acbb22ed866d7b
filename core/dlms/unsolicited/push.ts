/**
 * What a meter that dials in sends first. It has not been asked, so nothing says how it speaks: in
 * the wrapper, in HDLC, an APDU with nothing around it, or only its name. Told apart by the first
 * octets; bounded, and nothing is guessed twice.
 *
 *   00 01 …                                  wrapper of version 1 [IEC 62056-4-7]
 *   7e a…                                    HDLC frame: UI or I [IEC 62056-46, 6.4.1]
 *   68 L L 68                                M-Bus long frames, as on a consumers' port
 *   0f, 18, c2, ca, d2, db to df, e0 …       an unsolicited APDU [IEC 62056-5-3, COSEMpdu], perhaps behind an LLC header, e6 …
 *   17 printable characters, a comma, 4 or 6 octets      equipment identifier with alarm register or OBIS code (DSMR 4 meters)
 *   printable characters, up to a line end   an identification as configured
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { ApduTag } from '../apdu/constants.ts'
import { cosemDateTimeBytes } from '../axdr/date-time.ts'
import { decodeApdu, encodeApdu } from '../apdu/codec.ts'
import {
  flagOctet,
  frameBytesAt,
  hasGoodFcs,
  readFrame,
  type HdlcFrame,
} from '../framing/hdlc/frame.ts'
import type { HdlcAddress } from '../framing/hdlc/address.ts'
import { MbusGatherer, mbusBytesAt, readMbusFrame } from '../framing/mbus.ts'
import { behindLlc, encodeUnconfirmed, llcToClient, llcToServer } from '../framing/hdlc/transfer.ts'
import {
  allocateApdu,
  wrapInPlace,
  wrapperHeaderBytes,
  emptyFramesBytes,
  WrapperReader,
  type WrapperFrame,
} from '../framing/wrapper.ts'

/**
 * What stands at the start of the octets; `bytes` is how many it takes, what is behind belongs to
 * the next. Views borrow from the octets given.
 */
export type Push =
  | { kind: 'WRAPPER'; bytes: number; frame: WrapperFrame }
  /**
   * `apduView` is empty where a frame carries none, or only a segment of one (`frame.isSegmented`):
   * feed a link with it.
   */
  | { kind: 'HDLC'; bytes: number; frame: HdlcFrame; apduView: Buffer }
  | { kind: 'APDU'; bytes: number; apduView: Buffer }
  /** All the frames of one APDU, which is owned. */
  | { kind: 'MBUS'; bytes: number; source: number; destination: number; apduView: Buffer }
  /** `alarmView`: 4 octets of an alarm register, 6 of an OBIS code, none. */
  | { kind: 'IDENTIFICATION'; bytes: number; identificationView: Buffer; alarmView: Buffer }

const unaskedTags: ReadonlySet<number> = new Set([
  ApduTag.DATA_NOTIFICATION,
  ApduTag.INFORMATION_REPORT_REQUEST,
  ApduTag.EVENT_NOTIFICATION,
  // What ciphers, signs, or cuts them.
  ApduTag.GLO_EVENT_NOTIFICATION_REQUEST,
  ApduTag.DED_EVENT_NOTIFICATION_REQUEST,
  ApduTag.GENERAL_GLO_CIPHERING,
  ApduTag.GENERAL_DED_CIPHERING,
  ApduTag.GENERAL_CIPHERING,
  ApduTag.GENERAL_SIGNING,
  ApduTag.GENERAL_BLOCK_TRANSFER,
])
/**
 * True for an APDU that a device sends without being asked, or that may cipher, sign or cut one.
 */
export const isUnaskedApdu = ([tag]: Uint8Array): boolean => unaskedTags.has(tag!)

/** What is around an APDU, and who wrote it to whom. */
export type Around =
  | { framing: 'wrapper'; source: number; destination: number }
  | { framing: 'hdlc'; source: HdlcAddress; destination: HdlcAddress }
  /** On a consumers' port, which nobody answers on. */
  | { framing: 'mbus'; source: number; destination: number }
  | { framing: 'none' }

export function aroundOf(push: Push): Around {
  switch (push.kind) {
    case 'WRAPPER': {
      const { source, destination } = push.frame
      return { framing: 'wrapper', source, destination }
    }
    case 'HDLC': {
      const { source, destination } = push.frame
      return { framing: 'hdlc', source, destination }
    }
    case 'MBUS':
      return { framing: 'mbus', source: push.source, destination: push.destination }
    default:
      return { framing: 'none' }
  }
}

/**
 * `apdu` on its way back to where `around` came from: copied into a frame; itself where there is
 * nothing around it; undefined where there is no way back.
 */
export function answerFrame(apdu: Buffer, around: Around): Buffer | undefined {
  if (around.framing === 'mbus') return undefined
  if (around.framing === 'none') return apdu
  if (around.framing === 'hdlc')
    return encodeUnconfirmed(
      { local: around.destination, remote: around.source },
      llcToServer,
      apdu,
    )
  const roomy = allocateApdu(apdu.length)
  apdu.copy(roomy)
  return wrapInPlace(roomy, around.destination, around.source)
}

const confirmedBit = 0x4000_0000

/**
 * What confirms the data-notification in `apduView`, owned; undefined when it asks for no
 * confirmation, or is something else.
 * [IEC 62056-5-3, Data-Notification-Confirm, Long-Invoke-Id-And-Priority: service-class]
 */
export function confirmationOf(apduView: Buffer): Buffer | undefined {
  if (apduView[0] !== ApduTag.DATA_NOTIFICATION) return undefined
  const apdu = decodeApdu(apduView, { isTolerant: true })
  if (apdu.type !== 'data-notification') return undefined
  const { longInvokeIdAndPriority, dateTimeView } = apdu
  if ((longInvokeIdAndPriority & confirmedBit) === 0) return undefined
  // What goes back is as long as what came: a time is none, or one.
  if (dateTimeView.length !== 0 && dateTimeView.length !== cosemDateTimeBytes) return undefined
  return encodeApdu({ type: 'data-notification-confirm', longInvokeIdAndPriority, dateTimeView })
}

const identifierBytes = 17
const comma = 0x2c

const isPrintable = (octet: number): boolean => octet >= 0x20 && octet <= 0x7e
const isLineEnd = (octet: number): boolean => octet === 0x0d || octet === 0x0a

/**
 * What stands at the start of `view`, or undefined when more must come to tell. An APDU without
 * anything around it, and an identification without a line end, have no length of their own: they
 * end where the peer pauses or the datagram ends, which the caller says by `isEnd`.
 * @throws BrokerError DLMS_TAG_UNKNOWN (fault: meter) when it is another APDU; DLMS_LENGTH_INVALID
 * when it was cut short;
 *   DLMS_SIZE_EXCEEDED when it goes on too long; DLMS_WRAPPER_INVALID, DLMS_HDLC_INVALID when a frame of theirs is wrong
 */
export function classifyPush(
  view: Buffer,
  isEnd: boolean,
  apduBytesMax: number = limits.apduBytesMax,
): Push | undefined {
  if (view.length === 0) return undefined
  const idleBytes = emptyFramesBytes(view)
  if (idleBytes > 0) {
    // They keep a connection alive, and say nothing.
    const push = classifyPush(view.subarray(idleBytes), isEnd, apduBytesMax)
    return push && { ...push, bytes: idleBytes + push.bytes }
  }
  const first = view[0]!
  if (first === 0) return orCutShort(wrapperPush(view, apduBytesMax), isEnd)
  if (first === flagOctet) return orCutShort(hdlcPush(view), isEnd)
  if (unaskedTags.has(first)) return apduPush(view, view, isEnd, apduBytesMax)
  const mbusBytes = mbusBytesAt(view, isEnd)
  if (mbusBytes !== 0) return orCutShort(mbusPush(view, isEnd), isEnd)
  // As some bridges to a line hand it out.
  if (first === llcToClient[0]) return apduPush(view, behindLlc(view), isEnd, apduBytesMax)
  return orCutShort(identificationPush(view, isEnd), isEnd)
}

function orCutShort(push: Push | undefined, isEnd: boolean): Push | undefined {
  if (push === undefined && isEnd) throw new BrokerError('DLMS_LENGTH_INVALID', 'cut short')
  return push
}

function wrapperPush(view: Buffer, apduBytesMax: number): Push | undefined {
  const reader = new WrapperReader({ apduBytesMax })
  // The header alone until the frame is whole: what comes octet by octet is not copied each time.
  const isWhole =
    view.length >= wrapperHeaderBytes && view.length >= wrapperHeaderBytes + view.readUInt16BE(6)
  reader.push(isWhole ? view : view.subarray(0, wrapperHeaderBytes))
  const frame = reader.next()
  if (frame === undefined) return undefined
  return { kind: 'WRAPPER', bytes: wrapperHeaderBytes + frame.apduView.length, frame }
}

function mbusPush(view: Buffer, isEnd: boolean): Push | undefined {
  const gatherer = new MbusGatherer()
  for (let at = 0; at < view.length;) {
    const rest = view.subarray(at)
    const bytes = mbusBytesAt(rest, isEnd)
    if (bytes === 'MORE') return undefined
    if (bytes === 'DAMAGED' || bytes === 0)
      throw new BrokerError('DLMS_MBUS_INVALID', 'the sum or the end of a frame')
    const frame = readMbusFrame(rest, bytes)
    const apdu = gatherer.add(frame)
    at += bytes
    const { source, destination } = frame
    if (apdu !== undefined) return { kind: 'MBUS', bytes: at, source, destination, apduView: apdu }
  }
  return undefined
}

function hdlcPush(view: Buffer): Push | undefined {
  // A line may idle with flags.
  let at = 0
  while (view[at + 1] === flagOctet) at++
  if (at > limits.pushIdentificationBytesMax)
    throw new BrokerError('DLMS_HDLC_INVALID', 'flags only')
  const bytes = frameBytesAt(view, at, view.length)
  if (bytes > view.length - at) return undefined
  if (bytes === 0 || !hasGoodFcs(view, at, bytes))
    throw new BrokerError('DLMS_HDLC_INVALID', 'the first frame')
  const frame = readFrame(view, at, bytes)
  const isWhole = (frame.kind === 'UI' || frame.kind === 'I') && !frame.isSegmented
  const apduView = isWhole ? behindLlc(frame.informationView) : view.subarray(0, 0)
  return { kind: 'HDLC', bytes: at + bytes, frame, apduView }
}

function apduPush(
  view: Buffer,
  apduView: Buffer,
  isEnd: boolean,
  apduBytesMax: number,
): Push | undefined {
  if (apduView.length > apduBytesMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `an APDU above ${apduBytesMax} octets`)
  if (!isEnd) return undefined
  if (!isUnaskedApdu(apduView))
    throw new BrokerError('DLMS_TAG_UNKNOWN', `first octet ${apduView[0] ?? view[0]}`)
  return { kind: 'APDU', bytes: view.length, apduView }
}

function identificationPush(view: Buffer, isEnd: boolean): Push | undefined {
  const scanned = Math.min(view.length, limits.pushIdentificationBytesMax)
  let count = 0
  while (count < scanned && isPrintable(view[count]!)) count++
  if (count >= identifierBytes && view[identifierBytes] === comma) {
    const alarmAt = identifierBytes + 1
    const alarmBytes = view.length - alarmAt
    // Four or six: only the pause behind them tells.
    if (alarmBytes < 6 && !isEnd) return undefined
    if (alarmBytes >= 6 || alarmBytes === 4)
      return identificationOf(view, identifierBytes, alarmAt, alarmAt + Math.min(alarmBytes, 6))
    if (alarmBytes > 0 && count < view.length)
      throw new BrokerError('DLMS_LENGTH_INVALID', 'an alarm of 4 or 6 octets')
  }
  if (count === 0) throw new BrokerError('DLMS_TAG_UNKNOWN', `first octet ${view[0]}`)
  if (count < view.length) {
    if (count === scanned)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', `an identification above ${scanned} octets`)
    if (!isLineEnd(view[count]!))
      throw new BrokerError('DLMS_TAG_UNKNOWN', `octet ${view[count]} at ${count}`)
    let end = count + 1
    while (end < view.length && isLineEnd(view[end]!)) end++
    return identificationOf(view, count, end, end)
  }
  return isEnd ? identificationOf(view, count, count, count) : undefined
}

function identificationOf(view: Buffer, nameEnd: number, alarmAt: number, end: number): Push {
  return {
    kind: 'IDENTIFICATION',
    bytes: end,
    identificationView: view.subarray(0, nameEnd),
    alarmView: view.subarray(alarmAt, end),
  }
}
