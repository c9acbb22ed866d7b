/**
 * Unsolicited messages of devices, as parties get them: held against the generated decoder;
 * whatever else comes gives a named error.
 */
import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { Lane } from '../../../core/base/lane.ts'
import type { Srv } from '../../../core/base/srv.ts'
import { decodePush, encodePush } from '../../../core/envelope/device-push.ts'
import { writeEnvelope } from '../../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../../core/envelope/layout.ts'
import { encodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { Protection } from '../../../core/dlms/security/index.ts'
import { alertBodyOf, type Alert } from '../../../core/translate/alert.ts'
import { appendDelivery, isDelivery } from '../../../core/translate/delivery.ts'
import { ProtobufWriter } from '../../../core/translate/protobuf.ts'
import {
  DeviceAlertSeverity,
  DeviceAlert,
  DeviceAlertKind,
} from '../../../proto/gen/busbar/v1/device_alert.ts'
import { ReceiveResponse } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { ReadingStatus } from '../../../proto/gen/busbar/v1/service_response.ts'
import { dateTimeBytes } from '../../support/meters.ts'

const receivedAt = 1_800_000_000_123
const saidAt = 1_799_999_999_000
const target = Buffer.from('00db100000000001', 'hex')

/** The way of a body to a party. */
function delivered(body: Buffer): { deliveryId: bigint; alert: DeviceAlert } {
  const buffer = Buffer.alloc(headerBytes + body.length)
  writeEnvelope(
    buffer,
    0,
    {
      kind: Kind.ALERT,
      lane: Lane.NORMAL,
      srv: 0 as Srv,
      outcome: 0,
      bodyType: 0,
      attempt: 0,
      originator: Buffer.alloc(8, 9),
      target,
      counter: 0n,
      time: receivedAt + 5,
      deadline: 0,
      correlation: receivedAt,
    },
    body,
  )
  if (!isDelivery(buffer, 0)) throw new Error('no delivery')
  const writer = new ProtobufWriter(64)
  appendDelivery(writer, 4_097, buffer, 0)
  const [delivery] = ReceiveResponse.decode(writer.take()).deliveries
  if (delivery?.content?.$case !== 'alert') throw new Error('no alert')
  return { deliveryId: delivery.deliveryId, alert: delivery.content.value }
}

const alertOf = (alert: Partial<Alert>): DeviceAlert =>
  delivered(
    alertBodyOf({ apduView: Buffer.alloc(0), alarmView: undefined, protection: 0, ...alert })
      .bodyBytes,
  ).alert

const bytesOf = (apduView: Buffer): Buffer =>
  alertBodyOf({ apduView, alarmView: undefined, protection: 0 }).bodyBytes

const dataNotification = (value: AxdrValue, dateTimeView = dateTimeBytes(saidAt)): Buffer =>
  encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: 1,
    dateTimeView,
    valueView: encodeValue(value),
  })
const eventNotification = (value: AxdrValue): Buffer =>
  encodeApdu({
    type: 'event-notification-request',
    timeView: dateTimeBytes(saidAt),
    descriptorView: Buffer.from('00010000616200ff02', 'hex'),
    valueView: encodeValue(value),
  })
const register: AxdrValue = { tag: Tag.DOUBLE_LONG_UNSIGNED, value: 0x8000_0001 }

t.test(
  'a data notification that carries its object list: each attribute as a reading, too',
  (t) => {
    const entry = (classId: number, name: string, attributeId: number): AxdrValue => ({
      tag: Tag.STRUCTURE,
      elements: [
        { tag: Tag.LONG_UNSIGNED, value: classId },
        { tag: Tag.OCTET_STRING, value: Buffer.from(name, 'hex') },
        { tag: Tag.INTEGER, value: attributeId },
        { tag: Tag.LONG_UNSIGNED, value: 0 },
      ],
    })
    const elements: AxdrValue[] = [
      entry(40, '0000190900ff', 2),
      entry(3, '0100010800ff', 2),
      entry(1, '0000600101ff', 2),
    ]
    const value: AxdrValue = {
      tag: Tag.STRUCTURE,
      elements: [{ tag: Tag.ARRAY, elements }, register, { tag: Tag.NULL }],
    }
    const { readings, values } = alertOf({ apduView: dataNotification(value) })
    t.match(readings, [
      {
        obis: '1-0:1.8.0.255',
        classId: 3,
        attributeId: 2,
        status: ReadingStatus.READING_STATUS_GOOD,
        value: { kind: { $case: 'integer', value: 0x8000_0001n } },
      },
      { obis: '0-0:96.1.1.255', status: ReadingStatus.READING_STATUS_EMPTY, value: undefined },
    ])
    t.equal(values.length, 3)
    t.same(
      alertOf({ apduView: dataNotification({ ...value, elements: value.elements.slice(0, 2) }) })
        .readings,
      [],
    )
    t.end()
  },
)

t.test('a small push gives no large alert', (t) => {
  // The shortest elements, each with the shortest entry and the longest name.
  const entry = '0204 120028 0906 ffffffffffff 0f02 120000'
  const count = 250
  const body = `02${'81fa'} 01${'81fa'} ${entry.repeat(count)} ${'00'.repeat(count - 1)}`
  const apduView = Buffer.from(`0f0000000100${body}`.replaceAll(' ', ''), 'hex')
  const { length } = bytesOf(apduView)
  t.ok(
    length < 4 * apduView.length,
    `${length} octets of ${apduView.length}, which room is kept for`,
  )
  t.end()
})

t.test('a data notification: the fields of its body, one level, and the body itself', (t) => {
  const inner: AxdrValue = { tag: Tag.STRUCTURE, elements: [register] }
  const value: AxdrValue = {
    tag: Tag.STRUCTURE,
    elements: [{ tag: Tag.OCTET_STRING, value: Buffer.from('name') }, register, inner],
  }
  const apduView = dataNotification(value)
  const { deliveryId } = delivered(bytesOf(apduView))
  t.equal(deliveryId, 4_097n)
  const alert = alertOf({ apduView, protection: 0x30 })
  t.match(alert, {
    device: '00-DB-10-00-00-00-00-01',
    receivedAt: new Date(receivedAt),
    deviceTime: new Date(saidAt),
    kind: DeviceAlertKind.DEVICE_ALERT_KIND_DATA_NOTIFICATION,
    isAuthenticated: true,
    isEncrypted: true,
    isSigned: false,
    readings: [],
  })
  t.same(
    alert.values.map(({ kind }) => [kind?.$case, kind?.value]),
    [
      ['octets', Buffer.from('name')],
      ['integer', BigInt(register.value)],
      ['axdr', encodeValue(inner)],
    ],
  )
  t.same(alert.axdr, encodeValue(value))
  const plain = alertOf({ apduView: dataNotification(register, Buffer.alloc(0)) })
  t.equal(plain.deviceTime, undefined)
  t.match(plain.values, [{ kind: { $case: 'integer', value: BigInt(register.value) } }])
  t.equal(plain.isAuthenticated, false)
  t.equal(alertOf({ apduView, protection: Protection.SIGNED }).isSigned, true)
  t.end()
})

t.test('an event notification: the attribute that it tells of', (t) => {
  const alert = alertOf({ apduView: eventNotification(register) })
  t.match(alert, {
    kind: DeviceAlertKind.DEVICE_ALERT_KIND_EVENT_NOTIFICATION,
    deviceTime: new Date(saidAt),
    values: [],
    readings: [
      {
        obis: '0-0:97.98.0.255',
        classId: 1,
        attributeId: 2,
        isMethod: false,
        status: ReadingStatus.READING_STATUS_GOOD,
        value: { kind: { $case: 'integer', value: BigInt(register.value) } },
      },
    ],
  })
  const [empty] = alertOf({ apduView: eventNotification({ tag: Tag.NULL }) }).readings
  t.match(empty, { status: ReadingStatus.READING_STATUS_EMPTY, value: undefined })
  t.end()
})

t.test('an information report, and a name with an alarm', (t) => {
  const apduView = encodeApdu({
    type: 'information-report-request',
    currentTimeView: undefined,
    specifications: [{ type: 'variable-name', variableName: 0x1234 }],
    dataViews: [encodeValue(register)],
  })
  const report = alertOf({ apduView })
  t.equal(report.kind, DeviceAlertKind.DEVICE_ALERT_KIND_INFORMATION_REPORT)
  t.equal(report.values.length, 1)
  t.same(report.axdr, apduView)
  const alarm = alertOf({ alarmView: Buffer.of(0, 0, 0, 1) })
  t.equal(alarm.kind, DeviceAlertKind.DEVICE_ALERT_KIND_IDENTIFICATION)
  t.same(alarm.alarm, Buffer.of(0, 0, 0, 1))
  t.equal(alarm.axdr.length, 0)
  t.end()
})

t.test('cut anywhere, or anything at all: an alert or a named error', (t) => {
  const octetsGive = (apduView: Buffer): string => {
    try {
      alertOf({ apduView })
      return 'alert'
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return error.code
    }
  }
  const whole = eventNotification(register)
  for (let end = 1; end < whole.length; end++)
    t.match(octetsGive(whole.subarray(0, end)), /^DLMS_/, `cut at ${end}`)
  t.equal(octetsGive(Buffer.of(0xc0, 1, 0xc1, 0)), 'DLMS_LENGTH_INVALID')
  t.equal(octetsGive(Buffer.of(0xd8, 1, 1)), 'DLMS_SERVICE_UNEXPECTED')
  fc.assert(
    fc.property(
      fc.constantFrom(0x0f, 0xc2, 0x18),
      fc.uint8Array({ maxLength: 200 }),
      (tag, octets) => {
        octetsGive(Buffer.concat([Buffer.of(tag), octets]))
      },
    ),
    { numRuns: 2_000 },
  )
  t.end()
})

t.test('a push in an envelope is read as it was written, and never read when it is cut', (t) => {
  const octets = (maxLength: number) => fc.uint8Array({ maxLength }).map((one) => Buffer.from(one))
  const push = fc.record({
    protection: fc.constantFrom(0, 0x10, 0x20, 0x30),
    counter: fc.option(
      fc.record({
        mark: fc
          .uint8Array({ minLength: 16, maxLength: 16 })
          .map((mark) => Buffer.from(mark.fill(1, 0, 1)).toString('latin1')),
        value: fc.nat(0xffff_ffff),
      }),
      { nil: undefined },
    ),
    alarmBytes: fc.option(
      octets(6).filter(({ length }) => length > 0),
      { nil: undefined },
    ),
    apduBytes: octets(100),
  })
  fc.assert(
    fc.property(push, (one) => {
      const body = encodePush(one)
      t.same(decodePush(body), one)
      const front = body.length - one.apduBytes.length
      for (let end = 0; end < front; end++)
        t.throws(() => decodePush(body.subarray(0, end)), { code: 'ENVELOPE_MALFORMED' })
    }),
    { numRuns: 100 },
  )
  t.end()
})

t.test('the alert code of a GB device, with its meaning; other numbers are values alone', (t) => {
  const code = (value: number): AxdrValue => ({ tag: Tag.LONG_UNSIGNED, value })
  const clock: AxdrValue = { tag: Tag.OCTET_STRING, value: dateTimeBytes(saidAt) }
  const inStructure: AxdrValue = { tag: Tag.STRUCTURE, elements: [code(0x8f35), clock] }
  for (const value of [inStructure, code(0x8f35)]) {
    const apduView = dataNotification(value)
    t.match(alertOf({ apduView }), {
      alertCode: '8F35',
      alertName: 'power back',
      severity: DeviceAlertSeverity.DEVICE_ALERT_SEVERITY_CRITICAL,
    })
    t.equal(alertBodyOf({ apduView, alarmView: undefined, protection: 0 }).alertCode, 0x8f35)
  }
  t.match(alertOf({ apduView: dataNotification(code(0x810e)) }), { alertCode: '810E', severity: 1 })
  const second: AxdrValue = { tag: Tag.STRUCTURE, elements: [clock, code(0x8f35)] }
  for (const value of [code(1), code(0x8fff), second]) {
    const alert = alertOf({ apduView: dataNotification(value) })
    t.match(alert, { alertCode: '', alertName: '', severity: 0 })
    t.ok(alert.values.length > 0, 'nothing is lost')
  }
  t.end()
})

t.test('a telegram of text: its lines, and readings in its own words', (t) => {
  const text =
    '/ABC5\\Meter\r\n\r\n1-0:1.8.0(000123.4*kWh)\r\n0-1:24.2.1(101209112500W)(12785.1*m3)\r\n!\r\n'
  const apduView = Buffer.from(text, 'latin1')
  const alert = DeviceAlert.decode(
    alertBodyOf({ apduView, alarmView: undefined, protection: 0x30 }).bodyBytes,
  )
  t.match(alert, { kind: 1, isAuthenticated: true, isEncrypted: true })
  t.match(
    alert.readings.map(({ obis, value }) => [obis, value?.kind?.value]),
    [
      ['1-0:1.8.0.255', '000123.4*kWh'],
      ['0-1:24.2.1.255', '101209112500W, 12785.1*m3'],
    ],
  )
  t.equal(alert.values.length, 2)
  t.equal(alert.axdr.subarray(2).toString('latin1'), text)
  t.end()
})
