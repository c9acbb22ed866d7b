/**
 * core/envelope: the fixed layout against msgpackr both ways, golden bytes, and hostile input: an
 * envelope cut or changed anywhere gives its offset back or ENVELOPE_MALFORMED, never another end.
 */
import fc from 'fast-check'
import { Packr, Unpackr } from 'msgpackr'
import t from 'tap'
import { readTickMessage, writeTickMessage } from '../../core/envelope/tick-message.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { asBuffer, sameBytes } from '../../core/base/bytes.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import type { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'
import {
  checkEnvelope,
  envelopeEnd,
  readAttempt,
  readBodyType,
  readBodyView,
  readCorrelation,
  readCounter,
  readDeadline,
  readKind,
  readLane,
  readOriginator,
  readOutcome,
  readSafeU64,
  readSrv,
  readTarget,
  readTime,
  writeEnvelope,
  writeSafeU64,
  type Header,
} from '../../core/envelope/envelope.ts'
import {
  chainLinkBytes,
  forEachEnvelope,
  FrameWriter,
  genesisHash,
  hashOfFrame,
  readChainLink,
  writeChainLink,
} from '../../core/envelope/frame.ts'
import {
  fixedOffsets,
  headerBytes,
  headerTemplate,
  Kind,
  layoutVersion,
  offsetOf,
} from '../../core/envelope/layout.ts'

const octets8 = fc.uint8Array({ minLength: 8, maxLength: 8 })
const u16 = fc.integer({ min: 0, max: 0xffff })
const safe = fc.maxSafeNat()
const header: fc.Arbitrary<Header> = fc.record({
  kind: fc.constantFrom(...Object.values(Kind)),
  lane: fc.constantFrom(0, 1, 2) as fc.Arbitrary<Lane>,
  srv: fc.integer({ min: 0, max: 0xffff_ffff }) as unknown as fc.Arbitrary<Srv>,
  outcome: u16,
  bodyType: u16,
  attempt: u16,
  originator: octets8,
  target: octets8,
  counter: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
  time: safe,
  deadline: safe,
  correlation: safe,
})
const body = fc.uint8Array({ maxLength: 300 })

function envelopeOf(fields: Header, content: Uint8Array): Buffer {
  const buffer = Buffer.alloc(headerBytes + content.length)
  writeEnvelope(buffer, 0, fields, content)
  return buffer
}

/**
 * What a MessagePack library makes of an envelope: every integer as a bigint, so that none is
 * rounded.
 */
const unpackr = new Unpackr({ useRecords: false, int64AsType: 'bigint' })
const packr = new Packr({ useRecords: false })

const elementsOf = (fields: Header, content: Uint8Array): unknown[] => [
  layoutVersion * 256 + fields.kind,
  fields.lane,
  fields.srv,
  fields.outcome,
  fields.bodyType,
  fields.attempt,
  Buffer.from(fields.originator),
  Buffer.from(fields.target),
  fields.counter,
  BigInt(fields.time),
  BigInt(fields.deadline),
  BigInt(fields.correlation),
  Buffer.from(content),
]

const refusals = new Set<ErrorCode>(['ENVELOPE_MALFORMED', 'FORMAT_VERSION_LATER'])

/**
 * True for an end, false for ENVELOPE_MALFORMED and FORMAT_VERSION_LATER; anything else is thrown
 * on.
 */
function isTaken(buffer: Buffer, at: number): boolean {
  try {
    const end = checkEnvelope(buffer, at)
    return end >= at + headerBytes && end <= buffer.length
  } catch (error) {
    if (error instanceof BrokerError && refusals.has(error.code)) return false
    throw error
  }
}

const golden: Header = {
  kind: Kind.SERVICE_REQUEST,
  lane: 1,
  srv: 0x040101 as Srv,
  outcome: 0,
  bodyType: 3,
  attempt: 2,
  originator: Buffer.from('90b3d51f30010000', 'hex'),
  target: Buffer.from('0011223344556677', 'hex'),
  counter: 0xfedc_ba98_7654_3210n,
  time: 1_767_225_600_000,
  deadline: 1_767_225_720_000,
  correlation: 77,
}
const goldenBytes = Buffer.from(
  '9d' +
    'cd0101' +
    'cd0001' +
    'ce00040101' +
    'cd0000' +
    'cd0003' +
    'cd0002' +
    'c40890b3d51f30010000' +
    'c4080011223344556677' +
    'cffedcba9876543210' +
    'cf0000019b76daa800' +
    'cf0000019b76dc7cc0' +
    'cf000000000000004d' +
    'c600000003' +
    'abcdef',
  'hex',
)

t.test('layout: golden octets', async (t) => {
  const content = Buffer.from('abcdef', 'hex')
  t.equal(envelopeOf(golden, content).toString('hex'), goldenBytes.toString('hex'))
  t.equal(checkEnvelope(goldenBytes, 0), goldenBytes.length)
  t.equal(headerBytes, goldenBytes.length - 3)
  t.equal(headerTemplate.length, headerBytes)
  t.same(unpackr.unpack(goldenBytes), elementsOf(golden, content))
  // The template's fixed octets and the values' octets are all of the header.
  t.ok(new Set(fixedOffsets).size === fixedOffsets.length && fixedOffsets.length > 13)
})

t.test('an envelope is MessagePack: msgpackr reads the same elements', async (t) => {
  fc.assert(
    fc.property(header, body, (fields, content) => {
      const expected = elementsOf(fields, content)
      const elements = unpackr.unpack(envelopeOf(fields, content)) as unknown[]
      t.equal(elements.length, expected.length)
      expected.forEach((value, i) => {
        const found = elements[i]
        if (value instanceof Uint8Array) {
          if (!sameBytes(value, found as Uint8Array)) throw new Error(`element ${i} differs`)
        } else if (BigInt(found as number) !== BigInt(value as number)) {
          throw new Error(`element ${i} is ${String(found)}, not ${String(value)}`)
        }
      })
    }),
    { numRuns: 300 },
  )
})

t.test('what msgpackr packs at full width is an envelope', async (t) => {
  // msgpackr picks widths by value (and u64 only from 2^63 on), so values are chosen that need
  // those of the layout.
  const content = Buffer.alloc(70_000, 0x5a)
  const big = 2n ** 63n
  const elements = [
    layoutVersion * 256 + Kind.RESPONSE,
    0x0100,
    0x0102_0304,
    0x0100,
    0x0203,
    0xffff,
    Buffer.alloc(8, 1),
    Buffer.alloc(8, 2),
    big + 1n,
    big + 2n,
    big + 3n,
    big + 4n,
    content,
  ]
  const packed = Buffer.from(packr.pack(elements))
  t.equal(checkEnvelope(packed, 0), packed.length)
  t.equal(readKind(packed, 0), Kind.RESPONSE)
  t.equal(readSrv(packed, 0), 0x0102_0304)
  t.equal(readAttempt(packed, 0), 0xffff)
  t.equal(readCounter(packed, 0), big + 1n)
  for (const [i, name] of (['counter', 'time', 'deadline', 'correlation'] as const).entries()) {
    t.equal(packed.readBigUInt64BE(offsetOf[name]), big + BigInt(i) + 1n, name)
  }
  t.ok(sameBytes(readBodyView(packed, 0), content))
})

t.test(
  'every field is read as it was written, at any offset, and the body is borrowed',
  async () => {
    fc.assert(
      fc.property(header, body, fc.nat(40), (fields, content, at) => {
        const buffer = Buffer.alloc(at + headerBytes + content.length + 7, 0xee)
        const end = writeEnvelope(buffer, at, fields, content)
        const view = readBodyView(buffer, at)
        return (
          checkEnvelope(buffer, at) === end &&
          envelopeEnd(buffer, at) === end &&
          end === at + headerBytes + content.length &&
          readKind(buffer, at) === fields.kind &&
          readLane(buffer, at) === fields.lane &&
          readSrv(buffer, at) === fields.srv &&
          readOutcome(buffer, at) === fields.outcome &&
          readBodyType(buffer, at) === fields.bodyType &&
          readAttempt(buffer, at) === fields.attempt &&
          readOriginator(buffer, at) === readEui64(fields.originator) &&
          readTarget(buffer, at) === readEui64(fields.target) &&
          readCounter(buffer, at) === fields.counter &&
          readTime(buffer, at) === fields.time &&
          readDeadline(buffer, at) === fields.deadline &&
          readCorrelation(buffer, at) === fields.correlation &&
          sameBytes(view, content) &&
          view.buffer === buffer.buffer &&
          buffer.subarray(0, at).every((octet) => octet === 0xee) &&
          buffer.subarray(end).every((octet) => octet === 0xee)
        )
      }),
    )
  },
)

t.test('whole numbers below 2^53 survive as u64', async (t) => {
  const at = 3
  const buffer = Buffer.alloc(16)
  const survives = (value: number): boolean => {
    writeSafeU64(buffer, value, at)
    return readSafeU64(buffer, at) === value && buffer.readBigUInt64BE(at) === BigInt(value)
  }
  fc.assert(fc.property(safe, survives), { numRuns: 2_000 })
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52, Number.MAX_SAFE_INTEGER])
    t.ok(survives(value), String(value))
})

t.test('an envelope cut at any length is ENVELOPE_MALFORMED', async (t) => {
  for (let length = 0; length < goldenBytes.length; length++) {
    t.notOk(isTaken(goldenBytes.subarray(0, length), 0), `${length} octets`)
  }
  t.ok(isTaken(goldenBytes, 0))
  // An offset behind the end is a cut too.
  t.notOk(isTaken(goldenBytes, goldenBytes.length))
})

t.test('every octet that never changes is checked', async (t) => {
  for (const offset of fixedOffsets) {
    const damaged = Buffer.from(goldenBytes)
    damaged[offset]! ^= 0x01
    t.notOk(isTaken(damaged, 0), `octet ${offset}`)
  }
  const kinds = new Set<number>(Object.values(Kind))
  for (let kind = 0; kind < 256; kind++) {
    const other = Buffer.from(goldenBytes)
    other[offsetOf.kind + 1] = kind
    t.equal(isTaken(other, 0), kinds.has(kind), `kind ${kind}`)
  }
})

t.test(
  'a body longer than allowed, or than what is there, is refused without reading it',
  async (t) => {
    const long = Buffer.from(goldenBytes)
    for (const length of [4, limits.responseBodyBytesMax + 1, 0x7fff_ffff, 0xffff_ffff]) {
      long.writeUInt32BE(length, offsetOf.body)
      t.notOk(isTaken(long, 0), `${length} octets`)
    }
    const whole = Buffer.concat([
      goldenBytes.subarray(0, headerBytes),
      Buffer.alloc(limits.responseBodyBytesMax + 1),
    ])
    whole.writeUInt32BE(limits.responseBodyBytesMax, offsetOf.body)
    t.ok(isTaken(whole, 0), 'the longest body')
    whole.writeUInt32BE(limits.responseBodyBytesMax + 1, offsetOf.body)
    t.notOk(isTaken(whole, 0), 'an octet more, and all of it there')
  },
)

t.test('any octets: an end or ENVELOPE_MALFORMED, never a third thing', async (t) => {
  let taken = 0
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(220), (bytes, at) => {
      isTaken(asBuffer(bytes), at)
    }),
    { numRuns: 2_000 },
  )
  // Close to the truth: a good envelope with a few octets changed.
  fc.assert(
    fc.property(
      header,
      body,
      fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 3 }),
      (fields, content, changes) => {
        const buffer = envelopeOf(fields, content)
        for (const [at, value] of changes) if (at < buffer.length) buffer[at] = value
        if (isTaken(buffer, 0)) taken++
      },
    ),
    { numRuns: 2_000 },
  )
  t.ok(taken > 100, `${taken} of 2000 were envelopes still`)
})

t.test('a frame gives its envelopes back in order', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(header, body), { maxLength: 20 }), (all) => {
      const writer = new FrameWriter()
      for (const [fields, content] of all) {
        const at = writer.reserve(headerBytes + content.length)
        writeEnvelope(writer.target, at, fields, content)
        writer.count++
      }
      const bytes = writer.bytes
      const frame = writer.take()
      const seen: bigint[] = []
      forEachEnvelope(frame, 0, (at) => seen.push(readCounter(frame, at)))
      return (
        frame.length === bytes &&
        writer.bytes === 0 &&
        writer.count === 0 &&
        seen.length === all.length &&
        seen.every((counter, i) => counter === all[i]![0].counter)
      )
    }),
    { numRuns: 200 },
  )
})

t.test('a frame that was taken is never written again', async (t) => {
  const writer = new FrameWriter()
  const put = (counter: bigint): void => {
    const at = writer.reserve(headerBytes)
    writeEnvelope(writer.target, at, { ...golden, counter }, Buffer.alloc(0))
  }
  put(1n)
  const first = writer.take()
  put(2n)
  const second = writer.take()
  t.equal(readCounter(first, 0), 1n)
  t.equal(readCounter(second, 0), 2n)
})

t.test('a frame that ends within an envelope is refused after the whole ones', async (t) => {
  const frame = Buffer.concat([goldenBytes, goldenBytes.subarray(0, -1)])
  const seen: number[] = []
  t.throws(() => forEachEnvelope(frame, 0, (at) => seen.push(at)), { code: 'ENVELOPE_MALFORMED' })
  t.same(seen, [0])
})

t.test('chain link: golden octets, round trip, MessagePack, and damage', async (t) => {
  const link = Buffer.alloc(chainLinkBytes)
  writeChainLink(link, 0, { partition: 3, frameNumber: 258, previousHash: genesisHash })
  t.equal(link.toString('hex'), `94cd0001cd0003cf0000000000000102c420${'00'.repeat(32)}`)
  t.same(unpackr.unpack(link), [1, 3, 258n, Buffer.alloc(32)])
  fc.assert(
    fc.property(
      u16,
      safe,
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      body,
      (partition, frameNumber, hash, rest) => {
        const frame = Buffer.alloc(chainLinkBytes + rest.length)
        const at = writeChainLink(frame, 0, {
          partition,
          frameNumber,
          previousHash: Buffer.from(hash),
        })
        frame.set(rest, at)
        const read = readChainLink(frame)
        return (
          at === chainLinkBytes &&
          read.partition === partition &&
          read.frameNumber === frameNumber &&
          sameBytes(read.previousHash, hash) &&
          read.previousHash.buffer === frame.buffer
        )
      },
    ),
  )
  for (let length = 0; length < chainLinkBytes; length++) {
    t.throws(
      () => readChainLink(link.subarray(0, length)),
      { code: 'FRAME_MALFORMED' },
      `${length} octets`,
    )
  }
  for (const offset of [0, 1, 2, 3, 4, 7, 16, 17]) {
    const damaged = Buffer.from(link)
    damaged[offset]! ^= 0x02
    // The version alone is that of a later link.
    const code = offset === 3 ? 'FORMAT_VERSION_LATER' : 'FRAME_MALFORMED'
    t.throws(() => readChainLink(damaged), { code }, `octet ${offset}`)
  }
})

t.test('the hash of a frame depends on every octet, the link included', async (t) => {
  const frame = Buffer.concat([Buffer.alloc(chainLinkBytes), goldenBytes])
  writeChainLink(frame, 0, { partition: 1, frameNumber: 1, previousHash: genesisHash })
  const whole = hashOfFrame(frame)
  t.equal(whole.length, 32)
  for (let i = 0; i < frame.length; i++) {
    frame[i]! ^= 0x80
    t.notOk(hashOfFrame(frame).equals(whole), `octet ${i}`)
    frame[i]! ^= 0x80
  }
  t.ok(hashOfFrame(frame).equals(whole))
})

t.test('tick messages', (t) => {
  type Read = { facts: Array<[number, Buffer]>; deliveries: Array<[string, Buffer]> }
  const read = (message: Buffer): Read => {
    const found: Read = { facts: [], deliveries: [] }
    readTickMessage(
      message,
      (partition, frame) => found.facts.push([partition, Buffer.from(frame)]),
      (party, frame) => found.deliveries.push([party, Buffer.from(frame)]),
    )
    return found
  }
  const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
  const tick = fc.record({
    facts: fc.array(fc.record({ partition: fc.nat(1023), frame: bytes }), { maxLength: 5 }),
    deliveries: fc.array(
      fc.record({
        party: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((id) => readEui64(id)),
        frame: bytes,
      }),
      { maxLength: 5 },
    ),
  })

  t.test('are read back as they were written, by us and by any MessagePack library', (t) => {
    fc.assert(
      fc.property(tick, ({ facts, deliveries }) => {
        const message = writeTickMessage(facts, deliveries)
        const found = read(message)
        const [version, frames, parties] = new Unpackr({ useRecords: false }).unpack(message) as [
          number,
          Array<[number, Buffer]>,
          Array<[Buffer, Buffer]>,
        ]
        return (
          version === 1 &&
          facts.every(
            ({ partition, frame }, i) =>
              found.facts[i]![0] === partition && sameBytes(found.facts[i]![1], frame),
          ) &&
          found.facts.length === facts.length &&
          frames.every(
            ([partition, frame], i) =>
              partition === facts[i]!.partition && sameBytes(frame, facts[i]!.frame),
          ) &&
          deliveries.every(
            ({ party, frame }, i) =>
              found.deliveries[i]![0] === party && sameBytes(found.deliveries[i]![1], frame),
          ) &&
          parties.every(
            ([party, frame], i) =>
              readEui64(party) === deliveries[i]!.party && sameBytes(frame, deliveries[i]!.frame),
          )
        )
      }),
    )
    t.end()
  })

  t.test('cut anywhere, or followed by anything, are refused before anything is read', (t) => {
    fc.assert(
      fc.property(tick, fc.nat(), fc.boolean(), ({ facts, deliveries }, cut, isLonger) => {
        const message = writeTickMessage(facts, deliveries)
        const wrong = isLonger
          ? Buffer.concat([message, Buffer.of(cut & 255)])
          : message.subarray(0, cut % message.length)
        let calls = 0
        try {
          readTickMessage(
            wrong,
            () => calls++,
            () => calls++,
          )
        } catch (fault) {
          return calls === 0 && fault instanceof BrokerError && fault.code === 'FRAME_MALFORMED'
        }
        return false
      }),
    )
    t.end()
  })

  t.test('any octets are a tick or FRAME_MALFORMED', (t) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (array, hasHead) => {
        try {
          read(
            Buffer.concat([
              hasHead ? Buffer.of(0x93, 0xcd, 0, 1, 0xdd) : Buffer.alloc(0),
              Buffer.from(array),
            ]),
          )
          return true
        } catch (fault) {
          return fault instanceof BrokerError && fault.code === 'FRAME_MALFORMED'
        }
      }),
      { numRuns: 2_000 },
    )
    t.end()
  })
  t.end()
})
