/**
 * The TCP wrapper: frames out of chunks cut anywhere, no copy of whole frames, bounded rests,
 * headers in place.
 */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import {
  emptyFramesBytes,
  allocateApdu,
  readWrapperDatagram,
  wrapInPlace,
  WrapperReader,
  wrapperHeaderBytes,
  writeWrapperHeader,
} from '../../../../core/dlms/framing/wrapper.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

type Copied = { source: number; destination: number; apdu: string }

function takeAll(reader: WrapperReader, into: Copied[]): void {
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
    into.push({
      source: frame.source,
      destination: frame.destination,
      apdu: frame.apduView.toString('hex'),
    })
  }
}

function frameOf({ source, destination, apdu }: Copied): Buffer {
  const apduBytes = hex(apdu)
  const out = Buffer.alloc(wrapperHeaderBytes + apduBytes.length)
  apduBytes.copy(out, writeWrapperHeader(out, 0, source, destination, apduBytes.length))
  return out
}

const frames = fc.array(
  fc.record({
    source: fc.nat(0xffff),
    destination: fc.nat(0xffff),
    apdu: fc
      .uint8Array({ minLength: 1, maxLength: 2000 })
      .map((bytes) => Buffer.from(bytes).toString('hex')),
  }),
  { minLength: 1, maxLength: 8 },
)

t.test('a header as the standard draws it', (t) => {
  const out = Buffer.alloc(9, 0xaa)
  t.equal(writeWrapperHeader(out, 1, 0x0010, 0x0102, 0x1234), 9)
  t.same(out, hex('aa0001001001021234'))
  t.throws(() => writeWrapperHeader(out, 0, 1, 1, 0), { name: 'AssertionFault' })
  t.throws(() => writeWrapperHeader(out, 0, 1, 1, 0x1_0000), { name: 'AssertionFault' })
  t.end()
})

t.test('the header is written in place, in front of the APDU', (t) => {
  const apdu = allocateApdu(3)
  hex('d80102').copy(apdu)
  const frame = wrapInPlace(apdu, 1, 16)
  t.same(frame, hex('0001000100100003d80102'))
  t.equal(frame.buffer, apdu.buffer)
  t.throws(() => wrapInPlace(apdu, 1, 16), { name: 'AssertionFault' }, 'once only')
  t.throws(
    () => wrapInPlace(Buffer.allocUnsafeSlow(3), 1, 16),
    { name: 'AssertionFault' },
    'nothing in front',
  )
  t.throws(
    () => wrapInPlace(Buffer.alloc(64).subarray(32), 1, 16),
    { name: 'AssertionFault' },
    'something else in front',
  )
  t.end()
})

t.test('however the stream is cut, the same frames come out', (t) => {
  fc.assert(
    fc.property(
      frames,
      fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 60 }),
      (sent, cuts) => {
        const stream = Buffer.concat(sent.map(frameOf))
        const reader = new WrapperReader()
        const came: Copied[] = []
        let at = 0
        for (const cut of [...cuts, stream.length]) {
          reader.push(stream.subarray(at, at + cut))
          takeAll(reader, came)
          at += cut
          if (at >= stream.length) break
        }
        t.same(came, sent)
        t.equal(reader.keptBytes, 0)
      },
    ),
    { numRuns: 300 },
  )
  t.end()
})

t.test('one octet at a time', (t) => {
  fc.assert(
    fc.property(frames, (sent) => {
      const reader = new WrapperReader()
      const came: Copied[] = []
      for (const octet of Buffer.concat(sent.map(frameOf))) {
        reader.push(Buffer.of(octet))
        takeAll(reader, came)
      }
      t.same(came, sent)
    }),
    { numRuns: 20 },
  )
  t.end()
})

t.test('a frame that lies whole in the chunk is a view on it', (t) => {
  const chunk = Buffer.concat([
    hex('0001000100100003d80102'),
    hex('0001000200100002aabb'),
    hex('00010003'),
  ])
  const reader = new WrapperReader()
  reader.push(chunk)
  const first = reader.next()!
  t.equal(first.apduView.buffer, chunk.buffer)
  t.equal(first.apduView.byteOffset, chunk.byteOffset + 8)
  t.equal(reader.next()!.source, 2)
  t.equal(reader.next(), undefined)
  t.equal(reader.keptBytes, 4)
  chunk.fill(0xff)
  reader.push(hex('0010000199'))
  t.match(
    reader.next(),
    { source: 3, destination: 16, apduView: hex('99') },
    'the rest was kept, not borrowed',
  )
  t.throws(
    () => {
      reader.push(hex('000100'))
      reader.push(hex('01'))
    },
    { name: 'AssertionFault' },
    'frames are taken out first',
  )
  t.end()
})

t.test('what is no frame of version 1 is refused as soon as its header is there', (t) => {
  const refused = (stream: string, apduBytesMax?: number): unknown => {
    const reader = new WrapperReader(apduBytesMax === undefined ? {} : { apduBytesMax })
    const bytes = hex(stream)
    for (let i = 0; i < bytes.length - 1; i++) {
      reader.push(bytes.subarray(i, i + 1))
      t.equal(reader.next(), undefined)
    }
    reader.push(bytes.subarray(-1))
    return outcomeOf(() => reader.next()).code
  }
  t.equal(refused('0002000100100003'), 'DLMS_WRAPPER_INVALID')
  t.equal(refused('0001000100100401', 1024), 'DLMS_WRAPPER_INVALID')
  t.equal(refused('0001000100100400', 1024), undefined)
  const whole = new WrapperReader({ apduBytesMax: 2 })
  whole.push(hex('0001000100100003d80102'))
  t.throws(() => whole.next(), { code: 'DLMS_WRAPPER_INVALID' })
  t.end()
})

t.test('frames of length 0 are passed over, up to a number in a row', (t) => {
  const idle = hex('0001000100100000')
  const frame = hex('0001000100100003d80102')
  const most = Array.from({ length: limits.wrapperEmptyFramesMax }, () => idle)
  const stream = Buffer.concat([...most, frame, ...most, frame])
  for (const step of [1, 3, 8, 11, stream.length]) {
    const reader = new WrapperReader()
    const found: Copied[] = []
    for (let at = 0; at < stream.length; at += step) {
      reader.push(stream.subarray(at, at + step))
      takeAll(reader, found)
    }
    t.equal(found.length, 2, `${step} octets at a time`)
    t.equal(reader.keptBytes, 0)
  }
  const reader = new WrapperReader()
  reader.push(Buffer.concat([...most, idle]))
  t.throws(() => reader.next(), { code: 'DLMS_WRAPPER_INVALID', detail: /frames of length 0/ })
  t.equal(emptyFramesBytes(Buffer.concat([...most, frame])), 8 * most.length)
  t.equal(emptyFramesBytes(frame), 0)
  t.throws(() => emptyFramesBytes(Buffer.concat([...most, idle])), { code: 'DLMS_WRAPPER_INVALID' })
  t.end()
})

t.test('a promise of much holds no memory for it', (t) => {
  const reader = new WrapperReader()
  reader.push(hex('000100010010ffff00'))
  t.equal(reader.next(), undefined)
  t.equal(reader.keptBytes, 9)
  t.ok((reader as unknown as { rest: Buffer }).rest.length <= 64)
  reader.push(Buffer.alloc(65_534))
  t.equal(reader.next()!.apduView.length, 65_535)
  t.equal((reader as unknown as { rest: Buffer }).rest.length, 0, 'and is given back')
  t.end()
})

t.test('any octets give frames, "not yet" or a named error', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 6 }),
      fc.boolean(),
      (chunks, isVersioned) => {
        const reader = new WrapperReader()
        for (const chunk of chunks) {
          if (isVersioned && chunk.length > 1) chunk.set([0, 1])
          reader.push(Buffer.from(chunk))
          const outcome = outcomeOf(() => takeAll(reader, []))
          if (outcome.code !== undefined) return t.equal(outcome.code, 'DLMS_WRAPPER_INVALID')
        }
      },
    ),
  )
  t.end()
})

t.test('one datagram is one frame, whole and alone', (t) => {
  t.match(readWrapperDatagram(hex('0001000100100003d80102')), {
    source: 1,
    destination: 16,
    apduView: hex('d80102'),
  })
  for (const bad of [
    '',
    '00010001001000',
    '0002000100100003d80102',
    '0001000100100003d801',
    '0001000100100003d8010200',
    '0001000100100000',
  ])
    t.throws(() => readWrapperDatagram(hex(bad)), { code: 'DLMS_WRAPPER_INVALID' }, bad)
  t.throws(() => readWrapperDatagram(hex('0001000100100003d80102'), 2), {
    code: 'DLMS_WRAPPER_INVALID',
  })
  t.end()
})
