/**
 * An unsolicited message of a device, as the fields of a busbar.v1.DeviceAlert that are its own:
 * all but who it is and when it came, which the envelope around them has. Station 10 of a message's
 * way; the body is encoded here once and only copied afterwards. Pure.
 * [IEC 62056-5-3, Data-Notification, Event-Notification-Request, InformationReportRequest]
 */
import { BrokerError } from '../base/broker-error.ts'
import { alertCodeOf, type AlertCode } from '../catalogue/alert-codes.ts'
import { decodeApdu, type ApduOf } from '../dlms/apdu/codec.ts'
import { decodeValue, encodeValue, lengthBytes, readLength, Tag } from '../dlms/axdr/axdr.ts'
import { labelledValues, pushObjectsIn, type PushObject } from '../dlms/cosem/index.ts'
import { cosemDateTimeBytes, readLocalMs } from '../dlms/axdr/date-time.ts'
import { isLocal, type LocalZone } from '../dlms/axdr/local-time.ts'
import { decodeDescriptor } from '../dlms/apdu/descriptor.ts'
import { Protection } from '../dlms/security/index.ts'
import { readTelegram, type Telegram } from '../dlms/unsolicited/telegram.ts'
import { type ProtobufWriter, tagOf, WireType } from './protobuf.ts'
import { ReadingStatus } from './reading-status.ts'
import { appendTime } from './request-identity.ts'
import { ResponseWriter } from './response-writer.ts'
import { localText } from './expectation.ts'
import { appendValue, isTimestamp, timeAt } from './value.ts'

/** DeviceAlertKind of busbar.v1. */
const AlertKind = {
  DATA_NOTIFICATION: 1,
  EVENT_NOTIFICATION: 2,
  INFORMATION_REPORT: 3,
  IDENTIFICATION: 4,
  THROTTLED: 5,
} as const

/** DeviceAlertSeverity of busbar.v1. */
const AlertSeverity = { NON_CRITICAL: 1, CRITICAL: 2 } as const

export type AlertBody = { readonly bodyBytes: Buffer; readonly alertCode: number }

/** What came from a device, opened. Borrowed. */
export type Alert = {
  /** A notification in the clear; empty behind an identification alone. */
  apduView: Buffer
  alarmView: Buffer | undefined
  /** What protected it on its way: bits of `Protection`. */
  protection: number
  /** Of the device's clock where it sends no deviation. */
  zone?: LocalZone | undefined
}

const readingValueField = tagOf(6, WireType.LENGTH)
const valuesField = tagOf(9, WireType.LENGTH)
const bodies = new ResponseWriter()

type Notification = ApduOf<
  'data-notification' | 'event-notification-request' | 'information-report-request'
>
const kindOf: Readonly<Record<Notification['type'], number>> = {
  'data-notification': AlertKind.DATA_NOTIFICATION,
  'event-notification-request': AlertKind.EVENT_NOTIFICATION,
  'information-report-request': AlertKind.INFORMATION_REPORT,
}

/**
 * Fields 3 to 15 of a DeviceAlert, owned, and the alert code, 0 for none that is known.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID,
 * DLMS_SIZE_EXCEEDED, DLMS_NESTING_EXCEEDED;
 *   DLMS_SERVICE_UNEXPECTED for an APDU that is no notification
 */
export function alertBodyOf({ apduView, alarmView, protection, zone }: Alert): AlertBody {
  const writer = bodies
  writer.reset()
  writer.zone = zone
  const telegram = readTelegram(apduView)
  if (telegram !== undefined)
    return { bodyBytes: telegramBodyOf(writer, telegram, apduView, protection), alertCode: 0 }
  const notification = apduView.length === 0 ? undefined : notificationIn(apduView)
  const clockView = notification && clockOf(notification)
  appendTime(writer, 3, (clockView && timeAt(clockView, 0, zone)) ?? 0)
  number(writer, 4, notification ? kindOf[notification.type] : AlertKind.IDENTIFICATION)
  appendProtection(writer, protection)
  if (notification !== undefined) appendContent(writer, notification)
  octets(writer, 10, alarmView)
  if (notification !== undefined)
    octets(writer, 11, 'valueView' in notification ? notification.valueView : apduView)
  if (clockView !== undefined && zone === undefined && isLocal(clockView, 0)) {
    const localMs = readLocalMs(clockView, 0)
    if (isTimestamp(localMs)) octets(writer, 12, Buffer.from(localText(localMs), 'latin1'))
  }
  const code = notification && codeIn(notification)
  if (code !== undefined) appendCode(writer, code)
  return { bodyBytes: writer.take(), alertCode: code?.number ?? 0 }
}

/**
 * Fields 3 to 17 of a DeviceAlert that stands for `count` alerts with this code which were held;
 * `sequence` numbers such notices of the device and code. Both unsigned, 32 bits. Owned.
 */
export function throttledBodyOf(alertCode: number, sequence: number, count: number): Buffer {
  const writer = bodies
  writer.reset()
  number(writer, 4, AlertKind.THROTTLED)
  const code = alertCodeOf(alertCode)
  if (code !== undefined) appendCode(writer, code)
  number(writer, 16, sequence)
  number(writer, 17, count)
  return writer.take()
}

/**
 * The alert code of a notification: a long-unsigned that is the whole of its value, or the first
 * field of its structure, as GB devices send it. Any other number is a value as others.
 */
function codeIn(notification: Notification): AlertCode | undefined {
  if (notification.type === 'information-report-request') return undefined
  const { valueView: view } = notification
  const isStructure = view[0] === Tag.STRUCTURE && view.length > 1
  const at = isStructure ? 1 + lengthBytes(view, 1) : 0
  if (view[at] !== Tag.LONG_UNSIGNED || view.length < at + 3) return undefined
  return alertCodeOf(view.readUInt16BE(at + 1))
}

function appendCode(writer: ProtobufWriter, { text, name, isCritical }: AlertCode): void {
  octets(writer, 13, Buffer.from(text, 'latin1'))
  octets(writer, 14, Buffer.from(name))
  number(writer, 15, isCritical ? AlertSeverity.CRITICAL : AlertSeverity.NON_CRITICAL)
}

/**
 * A telegram of text is told as a data notification: its lines are the values, those with an OBIS
 * code readings of attribute 2 in the meter's own words (`123456.789*kWh`), the whole of it a
 * visible-string.
 */
function telegramBodyOf(
  writer: ResponseWriter,
  { lines }: Telegram,
  view: Buffer,
  protection: number,
): Buffer {
  number(writer, 4, AlertKind.DATA_NOTIFICATION)
  appendProtection(writer, protection)
  for (const { text, obis, values } of lines) {
    appendWhole(writer, valuesField, textValue(text))
    if (obis === undefined) continue
    const object = { classId: telegramClassId, obis, attributeId: 2 }
    appendReading(writer, object, textValue(values.join(', ')))
  }
  octets(writer, 11, textValue(view.toString('latin1')))
  return writer.take()
}

/** Class data: the text says nothing of classes. */
const telegramClassId = 1
const textValue = (value: string): Buffer => encodeValue({ tag: Tag.VISIBLE_STRING, value })

function appendProtection(writer: ProtobufWriter, protection: number): void {
  number(writer, 5, protection & Protection.AUTHENTICATED ? 1 : 0)
  number(writer, 6, protection & Protection.ENCRYPTED ? 1 : 0)
  number(writer, 7, protection & Protection.SIGNED ? 1 : 0)
}

function notificationIn(apduView: Buffer): Notification {
  const apdu = decodeApdu(apduView, { isTolerant: true })
  if (apdu.type in kindOf) return apdu as Notification
  throw new BrokerError('DLMS_SERVICE_UNEXPECTED', `${apdu.type} in the place of an alert`)
}

/**
 * The twelve octets of the device's clock, where it gives one. The time of a report is text in a
 * form that nobody defines.
 */
function clockOf(notification: Notification): Buffer | undefined {
  if (notification.type === 'information-report-request') return undefined
  const view = 'dateTimeView' in notification ? notification.dateTimeView : notification.timeView
  return view?.length === cosemDateTimeBytes ? view : undefined
}

function appendContent(writer: ResponseWriter, notification: Notification): void {
  switch (notification.type) {
    case 'data-notification':
      return appendFields(writer, notification.valueView)
    case 'event-notification-request':
      return appendEvent(writer, notification)
    case 'information-report-request':
      for (const view of notification.dataViews) appendWhole(writer, valuesField, view)
  }
}

/** One level: what is deeper is in the A-XDR. */
function appendFields(writer: ResponseWriter, view: Buffer): void {
  const isCompound = view[0] === Tag.STRUCTURE || view[0] === Tag.ARRAY
  if (!isCompound) return appendWhole(writer, valuesField, view)
  const count = readLength(view, 1)
  let at = 1 + lengthBytes(view, 1)
  const objects = view[at] === Tag.ARRAY ? pushObjectsIn(decodeValue(view)) : undefined
  for (let i = 0; i < count; i++) {
    const from = at
    writer.octet(valuesField)
    at = appendValue(writer, view, at, view.length, 'any')
    // The list itself is told as a value only.
    if (objects !== undefined && i > 0) appendReading(writer, objects[i]!, view.subarray(from, at))
  }
  if (objects === undefined && view.includes(describedStart)) appendDescribed(writer, view)
}

/**
 * A structure of two that begins with a structure of three and a long-unsigned, as a described
 * value does.
 */
const describedStart = Buffer.of(Tag.STRUCTURE, 2, Tag.STRUCTURE, 3, Tag.LONG_UNSIGNED)

/** Attributes that stand in the body with class, name and attribute in front of each. */
function appendDescribed(writer: ResponseWriter, view: Buffer): void {
  for (const { object, value } of labelledValues(decodeValue(view)))
    if (object !== undefined) appendReading(writer, object, encodeValue(value))
}

function appendWhole(writer: ResponseWriter, field: number, view: Buffer): void {
  writer.octet(field)
  appendValue(writer, view, 0, view.length, 'any')
}

function appendEvent(
  writer: ResponseWriter,
  { descriptorView, valueView }: ApduOf<'event-notification-request'>,
): void {
  const { classId, instanceId, memberId } = decodeDescriptor(descriptorView)
  appendReading(writer, { classId, obis: instanceId, attributeId: memberId }, valueView)
}

function appendReading(
  writer: ResponseWriter,
  { classId, obis, attributeId }: PushObject,
  valueView: Buffer,
): void {
  writer.octet(tagOf(8, WireType.LENGTH))
  const mark = writer.open()
  octets(writer, 1, Buffer.from(obis, 'latin1'))
  number(writer, 2, classId)
  number(writer, 3, attributeId & 0xff)
  const isEmpty = valueView[0] === Tag.NULL
  number(writer, 5, isEmpty ? ReadingStatus.EMPTY : ReadingStatus.GOOD)
  if (!isEmpty) appendWhole(writer, readingValueField, valueView)
  writer.close(mark)
}

function number(writer: ProtobufWriter, field: number, value: number): void {
  if (value === 0) return
  // From field 16 on a tag has two octets.
  writer.varint(tagOf(field, WireType.VARINT))
  writer.varint(value)
}

function octets(writer: ProtobufWriter, field: number, view: Buffer | undefined): void {
  if (view === undefined || view.length === 0) return
  writer.octet(tagOf(field, WireType.LENGTH))
  writer.lengthDelimited(view, 0, view.length)
}
