/** What a meter that dials in sends first: told apart, bounded, and never a fourth outcome. */
import fc from 'fast-check'
import t from 'tap'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import { encodeFrame } from '../../../../core/dlms/framing/hdlc/frame.ts'
import { encodeUnconfirmed, llcToClient } from '../../../../core/dlms/framing/hdlc/transfer.ts'
import { classifyPush, confirmationOf, type Push } from '../../../../core/dlms/unsolicited/push.ts'
import { PushBlocks } from '../../../../core/dlms/unsolicited/push-blocks.ts'
import { loadVectors, outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const ends = { local: hdlcAddress(1, 17), remote: hdlcAddress(0x67) }
const wrapped = '0001 0067 0066 0005 0f00000001'

function words(push: Push | undefined): unknown {
  if (push === undefined) return undefined
  const text = (view: Buffer): string => view.toString('hex')
  switch (push.kind) {
    case 'WRAPPER':
      return [
        push.kind,
        push.bytes,
        push.frame.source,
        push.frame.destination,
        text(push.frame.apduView),
      ]
    case 'HDLC':
      return [push.kind, push.bytes, push.frame.kind, push.frame.source.upper, text(push.apduView)]
    case 'APDU':
    case 'MBUS':
      return [push.kind, push.bytes, text(push.apduView)]
    default:
      return [
        push.kind,
        push.bytes,
        push.identificationView.toString('latin1'),
        text(push.alarmView),
      ]
  }
}

t.test('each kind, whole', (t) => {
  const identifier = Buffer.from('E1234567890123456')
  const withAlarm = (alarm: string): Buffer =>
    Buffer.concat([identifier, Buffer.from(','), hex(alarm)])
  const ui = encodeUnconfirmed(ends, llcToClient, hex('0f00000001'))
  const segment = {
    destination: hdlcAddress(16),
    source: hdlcAddress(1),
    kind: 'I',
    isFinal: true,
    sendNumber: 0,
    receiveNumber: 0,
    isSegmented: true,
  } as const
  const cases: [Buffer, boolean, unknown][] = [
    [hex(wrapped + 'ffff'), false, ['WRAPPER', 13, 0x67, 0x66, '0f00000001']],
    [Buffer.concat([hex('7e7e'), ui, ui]), false, ['HDLC', ui.length + 2, 'UI', 1, '0f00000001']],
    [encodeFrame(segment, hex('e6e7000f')), false, ['HDLC', 15, 'I', 1, '']],
    [hex('0f00000001'), false, undefined],
    [hex('0f00000001'), true, ['APDU', 5, '0f00000001']],
    [hex('db084d4d4d'), true, ['APDU', 5, 'db084d4d4d']],
    [hex('e080'), true, ['APDU', 2, 'e080']],
    [hex('e6e7000f00000001'), true, ['APDU', 8, '0f00000001']],
    [hex('e6e7000f00000001'), false, undefined],
    [withAlarm('00000001'), false, undefined],
    [withAlarm('00000001'), true, ['IDENTIFICATION', 22, String(identifier), '00000001']],
    [withAlarm('0000190900ff'), false, ['IDENTIFICATION', 24, String(identifier), '0000190900ff']],
    [withAlarm('31323334'), true, ['IDENTIFICATION', 22, String(identifier), '31323334']],
    [Buffer.from('METER-7\r\n\x0f'), false, ['IDENTIFICATION', 9, 'METER-7', '']],
    [Buffer.from('METER-7'), false, undefined],
    [Buffer.from('METER-7'), true, ['IDENTIFICATION', 7, 'METER-7', '']],
    [hex(''), false, undefined],
  ]
  for (const [octets, isEnd, expected] of cases)
    t.same(words(classifyPush(octets, isEnd)), expected, octets.toString('latin1'))
  t.end()
})

t.test('frames of length 0 in front are passed over', (t) => {
  const idle = Buffer.from('0001000100010000', 'hex')
  const frame = Buffer.from('00010001000100050f00000001', 'hex')
  for (const isEnd of [false, true]) {
    const push = classifyPush(Buffer.concat([idle, idle, frame]), isEnd)
    t.match(push, { kind: 'WRAPPER', bytes: 29, frame: { apduView: Buffer.of(15, 0, 0, 0, 1) } })
    t.equal(classifyPush(Buffer.concat([idle, idle]), isEnd), undefined)
  }
  t.end()
})

t.test('what confirms a notification', (t) => {
  const head = '0f 40000007'
  t.same(confirmationOf(hex(`${head} 00 1105`)), hex('10 40000007 00'))
  const time = '0c 07e4020f06010830ff800000'
  t.same(confirmationOf(hex(`${head} ${time} 1105`)), hex(`10 40000007 ${time}`))
  t.equal(confirmationOf(hex('0f 00000007 00 1105')), undefined, 'none is asked for')
  t.equal(confirmationOf(hex(`${head} 82 07ed ${'00'.repeat(2029)} 00`)), undefined, 'no time')
  t.equal(confirmationOf(hex('c2 00 0001 0000600b00ff 02 1105')), undefined)
  t.end()
})

t.test('of too many senders, one that has nothing under way gives way', (t) => {
  const blocks = new PushBlocks<string>({ sendersMax: 2 })
  const last = hex('e0 81 0001 0000 01 0f')
  const first = hex('e0 41 0001 0000 01 0f')
  t.match(blocks.receive('idle', last), { apdu: hex('0f') })
  t.equal(blocks.receive('busy', first), undefined)
  t.match(blocks.receive('newcomer', last), { apdu: hex('0f') })
  t.same(blocks.unfinished, ['busy'])
  t.match(blocks.receive('busy', hex('e0 81 0002 0000 01 01')), { apdu: hex('0f01') })
  blocks.receive('idle', first)
  blocks.receive('busy', first)
  blocks.receive('newcomer', first)
  t.same(blocks.unfinished, ['busy', 'newcomer'], 'else the one that began first')
  t.end()
})

t.test('what is none of them is refused by name', (t) => {
  const codeOf = (octets: Buffer, isEnd = true): unknown =>
    outcomeOf(() => classifyPush(octets, isEnd)).code
  t.equal(codeOf(hex('05')), 'DLMS_TAG_UNKNOWN')
  t.equal(codeOf(hex('41 42 05')), 'DLMS_TAG_UNKNOWN')
  t.equal(codeOf(hex('e6 e7 00')), 'DLMS_TAG_UNKNOWN')
  t.equal(codeOf(hex('e6 e7 00 c4 01 c1 00')), 'DLMS_TAG_UNKNOWN')
  t.equal(codeOf(hex('00 02 0001 0001 0001 00'), false), 'DLMS_WRAPPER_INVALID')
  t.equal(codeOf(hex('0001')), 'DLMS_LENGTH_INVALID')
  t.equal(codeOf(hex('7e a0')), 'DLMS_LENGTH_INVALID')
  t.equal(codeOf(hex('7e 41 42'), false), 'DLMS_HDLC_INVALID')
  t.equal(codeOf(Buffer.alloc(70, 0x7e), false), 'DLMS_HDLC_INVALID')
  t.equal(codeOf(Buffer.alloc(65, 0x41), false), 'DLMS_SIZE_EXCEEDED')
  t.equal(
    codeOf(Buffer.concat([Buffer.from('E1234567890123456,'), hex('0001')])),
    'DLMS_LENGTH_INVALID',
  )
  t.equal(
    outcomeOf(() => classifyPush(Buffer.alloc(40, 0x0f), false, 30)).code,
    'DLMS_SIZE_EXCEEDED',
  )
  t.end()
})

t.test('however much has come: "not yet", or what all of it says', (t) => {
  const whole = [
    hex(wrapped),
    encodeUnconfirmed(ends, llcToClient, Buffer.alloc(40, 0x0f)),
    Buffer.from('METER-7\r'),
  ]
  for (const octets of whole) {
    for (let count = 0; count < octets.length; count++)
      t.equal(classifyPush(octets.subarray(0, count), false), undefined)
    t.equal(classifyPush(octets, false)?.bytes, octets.length)
  }
  const codes = new Set([
    'DLMS_TAG_UNKNOWN',
    'DLMS_LENGTH_INVALID',
    'DLMS_SIZE_EXCEEDED',
    'DLMS_WRAPPER_INVALID',
    'DLMS_HDLC_INVALID',
  ])
  fc.assert(
    fc.property(
      fc.constantFrom('', '00', '7e', '0f', '41', '7ea0'),
      fc.uint8Array({ maxLength: 90 }),
      fc.boolean(),
      (start, rest, isEnd) => {
        const octets = Buffer.concat([hex(start), rest])
        const outcome = outcomeOf(() => classifyPush(octets, isEnd))
        if (outcome.code !== undefined) t.ok(codes.has(outcome.code), outcome.code)
        else if (outcome.value === undefined) t.ok(!isEnd || octets.length === 0)
        else t.ok(outcome.value.bytes > 0 && outcome.value.bytes <= octets.length)
      },
    ),
    { numRuns: 1_000 },
  )
  t.end()
})

const pushed = loadVectors()?.filter(({ kind }) => kind.startsWith('push-'))
t.test(
  'pushes of others',
  {
    skip:
      pushed === undefined &&
      'SKIPPED: ../shared/dlms is not there, so pushes are NOT tried against vectors of others',
  },
  (t) => {
    for (const { id, kind, hex: text } of pushed ?? []) {
      const octets = hex(text)
      const push = classifyPush(octets, true)
      t.equal(push?.bytes, octets.length, id)
      if (kind === 'push-raw-dsmr4')
        t.same(words(push), ['IDENTIFICATION', 22, 'E1234567890123456', '00000001'], id)
      else t.same(words(push), ['WRAPPER', octets.length, 0x67, 0x66, text.slice(16)], id)
    }
    t.ok(pushed === undefined || pushed.length >= 4)
    t.end()
  },
)
