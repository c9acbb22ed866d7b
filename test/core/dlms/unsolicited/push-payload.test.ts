/**
 * Payloads with several APDUs, bodies whose descriptors have no tags, octets that nobody
 * understands: read, cut at every length, heard, shown.
 */
import fc from 'fast-check'
import t from 'tap'
import { decodeLines } from '../../../../actors/cli/meter/dlms-decode.ts'
import { contentOf } from '../../../../actors/cli/meter/push-words.ts'
import { BrokerError } from '../../../../core/base/broker-error.ts'
import { decodeApdu } from '../../../../core/dlms/apdu/codec.ts'
import { decodeValue } from '../../../../core/dlms/axdr/axdr.ts'
import { readPushPayload } from '../../../../core/dlms/unsolicited/push-payload.ts'
import { PushStream, type Heard } from '../../../../core/dlms/unsolicited/push-stream.ts'
import { retagBody } from '../../../../core/dlms/unsolicited/untagged.ts'
import { alertBodyOf } from '../../../../core/translate/alert.ts'
import { DeviceAlert } from '../../../../proto/gen/busbar/v1/device_alert.ts'
import { outcomeOf } from '../../../support/dlms.ts'

function stream() {
  const heard: Heard[] = []
  const wrong: { code: string; hex: string; bytes: number }[] = []
  const pushes = new PushStream({
    octets: () => undefined,
    heard: (one) => void heard.push(one),
    wrong: ({ code }, view, bytes) => void wrong.push({ code, hex: view.toString('hex'), bytes }),
    send: () => undefined,
  })
  return { pushes, heard, wrong }
}

const hexOf = (one: Heard): string => ('apdu' in one ? one.apdu.toString('hex') : '')

/** Landis+Gyr E450: three notifications in one frame, each behind an LLC header. */
const tripleFrame = Buffer.from(
  '7ea06dceff031390f1' +
    'e6e7000f0008fd7b0c07e80b030713000fff80000002020601410c280600000000' +
    'e6e7000f0008fd7c0c07e80b030713010fff80000002020601410c3a0600000000' +
    'e6e7000f0008fd7d0c07e80b030713020fff80000002020601410c4b0600000000fdf27e',
  'hex',
)
/** Sagemcom XT211 (CEZ, EG.D). */
const untagged = Buffer.from(
  '0f000000010002021601' +
    '0103' +
    '02020001' +
    '0000600101ff02' +
    '090a30313233343536373839' +
    '02020046' +
    '000060030aff03' +
    '1601' +
    '02020003' +
    '0100010800ff02' +
    '0600003039',
  'hex',
)
const plain = Buffer.from('0f000000010002011105', 'hex')

t.test('several notifications in one HDLC frame', (t) => {
  const { pushes, heard, wrong } = stream()
  for (const octet of tripleFrame) pushes.receive(Buffer.of(octet))
  t.same(wrong, [])
  t.match(
    heard.map((one) => 'apdu' in one && contentOf(one.apdu).time),
    [/2024-11-03.*19:00:15/, /2024-11-03.*19:01:15/, /2024-11-03.*19:02:15/],
  )
  t.equal(heard.length, 3)
  const said = decodeLines(tripleFrame.toString('hex'), {}).join('\n')
  t.same(said.match(/19:0[012]:15/g), ['19:00:15', '19:01:15', '19:02:15'])
  t.equal(said.match(/llc: e6e700/g)?.length, 3)
  t.notMatch(said, /trailing|unreadable/)
  t.end()
})

t.test('a payload is cut at every length', (t) => {
  const payload = Buffer.concat([plain, Buffer.from('e6e700', 'hex'), plain, plain])
  t.same(readPushPayload(payload).apduViews, [plain, plain, plain])
  for (let bytes = 1; bytes < payload.length; bytes++) {
    const { apduViews, restView } = readPushPayload(payload.subarray(0, bytes))
    const whole = apduViews.reduce((sum, { length }) => sum + length, restView.length)
    t.ok(whole >= bytes - 3, 'nothing is lost but an LLC header')
  }
  const odd = Buffer.concat([plain, Buffer.from('0102030405', 'hex')])
  t.equal(readPushPayload(odd).restView.toString('hex'), '0102030405')
  const unreadable = Buffer.from('0f00', 'hex')
  t.same(readPushPayload(unreadable).apduViews, [unreadable], 'its decoder says why')
  const frame = Buffer.concat([Buffer.of(0, 1, 0, 1, 0, 16, 0, odd.length), odd])
  const { pushes, heard, wrong } = stream()
  pushes.receive(frame)
  t.same(heard.map(hexOf), [plain.toString('hex')])
  t.same(wrong, [{ code: 'DLMS_LENGTH_INVALID', hex: '0102030405', bytes: 5 }])
  t.end()
})

t.test('descriptors without tags', (t) => {
  const { fields } = contentOf(untagged)
  t.match(fields, [
    {},
    { obis: '0-0:96.1.1.255', member: 'Data value' },
    { obis: '0-0:96.3.10.255', member: 'Disconnect control control_state', value: 'connected' },
    { obis: '1-0:1.8.0.255', member: 'Register value' },
  ])
  t.match(decodeLines(untagged.toString('hex'), {}).join('\n'), /with-tags[^]*12345/)
  const { bodyBytes: body } = alertBodyOf({
    apduView: untagged,
    alarmView: undefined,
    protection: 0,
  })
  t.match(DeviceAlert.decode(body).readings, [
    { classId: 1, attributeId: 2 },
    { classId: 70, attributeId: 3 },
    { classId: 3, attributeId: 2 },
  ])
  for (let bytes = 0; bytes < untagged.length; bytes++) {
    const { code } = outcomeOf(() => decodeApdu(untagged.subarray(0, bytes), { isTolerant: true }))
    t.match(code, /^DLMS_/, `${bytes} octets`)
  }
  t.throws(() => decodeApdu(untagged), BrokerError, 'not by the standard')
  // Data that is right stays what it is, though it might be read otherwise.
  const nulls = Buffer.from('0f00000001000202000100', 'hex')
  t.match(decodeApdu(nulls, { isTolerant: true }), { valueView: nulls.subarray(6) })
  for (const [at, octet, why] of [
    [15, 0x00, 'class 0'],
    [16, 0x77, 'no medium'],
    [22, 0x00, 'attribute 0'],
    [14, 0x80, 'no class'],
  ] as const) {
    const damaged = Buffer.from(untagged)
    damaged[at] = octet
    const { value } = outcomeOf(() => contentOf(damaged))
    t.notOk(value !== undefined && value.trailing === undefined, why)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (octets) => {
      const view = Buffer.from(octets)
      const retagged = retagBody(view, 0, view.length)
      return retagged === undefined || decodeValue(retagged.valueBytes) !== undefined
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

t.test('behind rubbish the next frame is heard, and what was dropped is counted', (t) => {
  const wrapped = Buffer.concat([Buffer.of(0, 1, 0, 1, 0, 16, 0, plain.length), plain])
  const upper = Buffer.concat([Buffer.of(0x53, 0xff, 0x10, 1, 0x67), plain])
  const sum = upper.reduce((all, octet) => all + octet, 0) & 0xff
  const long = Buffer.concat([
    Buffer.of(0x68, upper.length, upper.length, 0x68),
    upper,
    Buffer.of(sum, 0x16),
  ])
  const rubbish = Buffer.from('fefe68001122337e00ff', 'hex')
  const all = Buffer.concat([wrapped, rubbish, long, rubbish, tripleFrame, rubbish, wrapped])
  for (const step of [1, 3, 17, all.length]) {
    const { pushes, heard, wrong } = stream()
    for (let at = 0; at < all.length; at += step) pushes.receive(all.subarray(at, at + step))
    pushes.end()
    t.equal(heard.length, 6, `${step} octets at a time`)
    t.same(
      wrong.map(({ hex }) => hex),
      [rubbish, rubbish, rubbish].map((octets) => octets.toString('hex')),
    )
    t.ok(wrong.every(({ bytes }) => bytes === rubbish.length))
  }
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const { pushes, heard, wrong } = stream()
      for (const chunk of chunks) pushes.receive(Buffer.from(chunk))
      pushes.pause()
      pushes.receive(wrapped)
      pushes.end()
      return heard.length > 0 && wrong.every(({ code }) => code.startsWith('DLMS_'))
    }),
  )
  t.end()
})
