/**
 * Requests from the wire: scan, body rules and the protobuf vocabulary, held against ts-proto's
 * generated code.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'
import t from 'tap'
import { formatEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { formatSrv, parseSrv } from '../../../core/base/srv.ts'
import { serviceRequestOf } from '../../../core/catalogue/service-requests.ts'
import { writeEnvelope, type Header } from '../../../core/envelope/envelope.ts'
import { Kind, headerBytes } from '../../../core/envelope/layout.ts'
import { checkBody } from '../../../core/translate/body.ts'
import { ProtobufReader, ProtobufWriter, varintBytes } from '../../../core/translate/protobuf.ts'
import {
  forEachRequest,
  laneUnspecified,
  RequestScan,
  scanRequestId,
  scanServiceRequest,
} from '../../../core/translate/scan.ts'
import {
  CancelRequest,
  SubmitBatchRequest,
  SubmitRequest,
} from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { bodyTypeMax } from '../../../core/translate/body-types.ts'
import {
  DisplayMessage,
  ReadPeriod,
  ServiceRequest,
  type Priority,
} from '../../../proto/gen/busbar/v1/service_request.ts'

const dayMs = 86_400_000
const nowMs = Date.UTC(2026, 10, 23, 12)

// Text of an EUI-64 in any of the forms that are allowed.
const eui64 = fc
  .tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.constantFrom('', '-', ':'), fc.boolean())
  .map(([octets, separator, upper]) => {
    const text = formatEui64(octets).replaceAll('-', separator)
    return upper ? text : text.toLowerCase()
  })
const timeMs = fc.integer({ min: 1, max: 253_402_300_799_000 })
const date = timeMs.map((ms) => new Date(ms))
const body: fc.Arbitrary<ServiceRequest['body']> = fc.oneof(
  fc.constant(undefined),
  fc
    .string({ unit: 'binary', maxLength: 200 })
    .map((text) => ({ $case: 'displayMessage' as const, value: { text } })),
  fc
    .record({
      startTime: fc.option(date, { nil: undefined }),
      endTime: fc.option(date, { nil: undefined }),
    })
    .map((value) => ({ $case: 'readPeriod' as const, value })),
  fc
    .record({ toleranceSeconds: fc.nat() })
    .map((value) => ({ $case: 'synchroniseClock' as const, value })),
  fc
    .record({ scheduleId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) })
    .map((value) => ({ $case: 'readSchedules' as const, value })),
)
const requestId = fc.record({
  originator: eui64,
  target: eui64,
  counter: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }),
})
const request: fc.Arbitrary<ServiceRequest> = fc.record({
  requestId,
  serviceReferenceVariant: fc
    .tuple(
      fc.integer({ min: 1, max: 255 }),
      fc.integer({ min: 1, max: 255 }),
      fc.integer({ min: 0, max: 255 }),
    )
    .map(([a, b, c]) => (c > 0 ? `${a}.${b}.${c}` : `${a}.${b}`)),
  deadline: fc.option(date, { nil: undefined }),
  priority: fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<Priority>,
  assignCounter: fc.constant(false),
  correlation: fc.nat(),
  commandVariant: fc.nat({ max: 20 }),
  executionTime: fc.option(date, { nil: undefined }),
  firstInSequence: fc.boolean(),
  precedingRequestId: fc.option(requestId, { nil: undefined }),
  signature: fc.option(
    fc.record({
      certificate: fc.string({ maxLength: 70 }),
      value: fc.uint8Array({ maxLength: 70 }).map((octets) => Buffer.from(octets)),
    }),
    { nil: undefined },
  ),
  body,
})

// The fields of a message as the octets they stand in.
function fieldsOf(message: Uint8Array): Uint8Array[] {
  const view = Buffer.from(message)
  const reader = new ProtobufReader(view).open(view, 0, view.length)
  const fields: Uint8Array[] = []
  let start = 0
  while (reader.nextField()) {
    reader.skip()
    fields.push(view.subarray(start, reader.at))
    start = reader.at
  }
  return fields
}

const unknownField = fc
  .tuple(
    fc.integer({ min: bodyTypeMax + 1, max: 536_870_911 }),
    fc.constantFrom(0, 1, 2, 5),
    fc.uint8Array({ maxLength: 40 }),
  )
  .map(([field, wireType, octets]) => {
    const writer = new BinaryWriter().tag(field, wireType)
    if (wireType === 0) writer.uint64(BigInt(octets.length) << 50n)
    else if (wireType === 1) writer.fixed64(octets.length)
    else if (wireType === 2) writer.bytes(octets)
    else writer.fixed32(octets.length)
    return writer.finish()
  })

const textOctets = (text: string): Buffer => Buffer.from(text.replaceAll(/[-:]/g, ''), 'hex')
const bodyFields: Readonly<Record<string, number>> = {
  displayMessage: 16,
  readPeriod: 17,
  synchroniseClock: 18,
  readSchedules: 20,
}

function assertSame(scan: RequestScan, view: Buffer, wanted: ServiceRequest): void {
  const id = wanted.requestId!
  t.same(scan.originator, textOctets(id.originator))
  t.same(scan.target, textOctets(id.target))
  t.equal(scan.counter, id.counter)
  t.equal(formatSrv(scan.srv), wanted.serviceReferenceVariant)
  t.equal(scan.deadlineMs, wanted.deadline?.getTime() ?? 0)
  t.equal(scan.commandVariant, Math.min(wanted.commandVariant, 9))
  t.equal(scan.isFirstInSequence, wanted.firstInSequence)
  const preceding = wanted.precedingRequestId
  t.equal(scan.hasPreceding, preceding !== undefined)
  if (preceding !== undefined) {
    t.same(scan.precedingOriginator, textOctets(preceding.originator))
    t.same(scan.precedingTarget, textOctets(preceding.target))
    t.equal(scan.precedingCounter, preceding.counter)
  }
  t.equal(scan.lane, wanted.priority === 0 ? laneUnspecified : wanted.priority - 1)
  t.equal(scan.bodyType, wanted.body === undefined ? 0 : bodyFields[wanted.body.$case])
  const again = ServiceRequest.decode(
    Buffer.concat([
      new BinaryWriter().tag(scan.bodyType || 16, 2).finish(),
      new BinaryWriter().bytes(view.subarray(scan.bodyStart, scan.bodyEnd)).finish(),
    ]),
  )
  if (wanted.body !== undefined) t.same(again.body, wanted.body)
}

t.test(
  'what ts-proto encodes scans to the same values, in any field order, with unknown fields',
  (t) => {
    const scan = new RequestScan()
    const order = fc.infiniteStream(fc.nat())
    fc.assert(
      fc.property(
        request,
        fc.array(unknownField, { maxLength: 4 }),
        order,
        fc.nat(9),
        (wanted, unknown, numbers, offset) => {
          const fields = [...fieldsOf(ServiceRequest.encode(wanted).finish()), ...unknown]
          const keys = new Map(fields.map((field) => [field, numbers.next().value]))
          fields.sort((a, b) => keys.get(a)! - keys.get(b)!)
          // The request does not begin at the start of its buffer: it lies in a batch.
          const view = Buffer.concat([Buffer.alloc(offset, 0xff), ...fields, Buffer.alloc(3, 0xff)])
          t.equal(scanServiceRequest(view, offset, view.length - 3, scan), undefined)
          assertSame(scan, view, wanted)
        },
      ),
      { numRuns: 300 },
    )
    t.end()
  },
)

t.test('unknown fields and any order inside the RequestID', (t) => {
  const id = new BinaryWriter()
    .tag(3, 0)
    .uint64(7n)
    .tag(90, 5)
    .fixed32(1)
    .tag(2, 2)
    .string('00DB000000000001')
    .tag(1, 2)
    .string('90-b3-d5-1f-30-01-00-00')
    .finish()
  const view = Buffer.from(new BinaryWriter().tag(1, 2).bytes(id).finish())
  const scan = new RequestScan()
  t.equal(scanServiceRequest(view, 0, view.length, scan), undefined)
  t.equal(scan.counter, 7n)
  t.equal(formatEui64(scan.target), '00-DB-00-00-00-00-00-01')
  t.equal(formatEui64(scan.originator), '90-B3-D5-1F-30-01-00-00')
  t.equal(scan.srv, 0)
  t.end()
})

const sample: ServiceRequest = {
  requestId: {
    originator: '90-B3-D5-1F-30-01-00-00',
    target: '00-DB-12-34-56-78-90-A0',
    counter: 2n ** 62n + 5n,
  },
  serviceReferenceVariant: '4.8.1',
  deadline: new Date(nowMs + 60_000),
  priority: 3,
  assignCounter: false,
  correlation: 0,
  commandVariant: 0,
  firstInSequence: false,
  precedingRequestId: undefined,
  executionTime: undefined,
  signature: undefined,
  body: {
    $case: 'readPeriod',
    value: { startTime: new Date(nowMs - 2 * dayMs), endTime: new Date(nowMs - dayMs) },
  },
}

t.test('of what comes twice the last one wins', (t) => {
  const scan = new RequestScan()
  const first = ServiceRequest.encode(sample).finish()
  const second = ServiceRequest.encode({
    ...sample,
    requestId: { originator: '1'.repeat(16), target: '2'.repeat(16), counter: 1n },
    serviceReferenceVariant: '3.1',
    priority: 1,
    body: { $case: 'displayMessage', value: { text: 'hello' } },
  }).finish()
  const view = Buffer.concat([first, second])
  t.equal(scanServiceRequest(view, 0, view.length, scan), undefined)
  t.equal(scan.counter, 1n)
  t.equal(scan.srv, parseSrv('3.1'))
  t.equal(scan.lane, 0)
  t.equal(scan.bodyType, 16)
  t.equal(view.toString('latin1', scan.bodyStart + 2, scan.bodyEnd), 'hello')
  t.end()
})

t.test('refusals of the wire, each with its code', (t) => {
  const scan = new RequestScan()
  const scanOf = (...parts: Uint8Array[]): string | undefined => {
    const view = Buffer.concat(parts)
    return scanServiceRequest(view, 0, view.length, scan)
  }
  const whole = ServiceRequest.encode(sample).finish()
  t.equal(scanOf(Buffer.alloc(0)), 'REQUEST_ID_MALFORMED')
  t.equal(scan.hasRequestId, false)
  t.equal(
    scanOf(
      ServiceRequest.encode({
        ...sample,
        requestId: { ...sample.requestId!, target: '00-DB' },
      }).finish(),
    ),
    'REQUEST_ID_MALFORMED',
  )
  t.equal(scanOf(whole, Buffer.of(0x2b, 0x2c)), 'REQUEST_WIRE_MALFORMED', 'groups')
  t.equal(scanOf(whole, Buffer.of(0x2e, 0)), 'REQUEST_WIRE_MALFORMED', 'wire type 6')
  t.equal(scanOf(whole, Buffer.of(0x02, 0)), 'REQUEST_WIRE_MALFORMED', 'field number 0')
  t.equal(
    scanOf(whole, Buffer.from([0x28, ...Array<number>(10).fill(0x80), 0])),
    'REQUEST_WIRE_MALFORMED',
    'varint of eleven octets',
  )
  t.equal(
    scanOf(whole, Buffer.from([0x38, ...Array<number>(9).fill(0xff), 1])),
    undefined,
    'varint of ten octets',
  )
  t.equal(
    scanOf(whole, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f, 0])),
    'REQUEST_WIRE_MALFORMED',
    'tag above 32 bits',
  )
  t.equal(
    scanOf(
      whole,
      new BinaryWriter()
        .tag(3, 2)
        .bytes(new BinaryWriter().tag(1, 0).int64(253_402_300_800n).finish())
        .finish(),
    ),
    'REQUEST_WIRE_MALFORMED',
    'year 10000',
  )
  t.equal(
    scanOf(
      whole,
      new BinaryWriter()
        .tag(3, 2)
        .bytes(new BinaryWriter().tag(2, 0).int32(1_000_000_000).finish())
        .finish(),
    ),
    'REQUEST_WIRE_MALFORMED',
    'a second of nanos',
  )
  t.equal(
    scanOf(
      whole,
      new BinaryWriter().tag(200, 2).bytes(new Uint8Array(limits.requestBytesMax)).finish(),
    ),
    'REQUEST_SIZE_EXCEEDED',
  )
  t.equal(scan.hasRequestId, true, 'a request too large can be named in its refusal')
  t.equal(scanOf(whole, new BinaryWriter().tag(3, 2).bytes(new Uint8Array(0)).finish()), undefined)
  t.equal(scan.deadlineMs, 1, 'a deadline of 1970 is past, not absent')
  t.equal(
    scanOf(
      whole,
      new BinaryWriter().tag(3, 2).bytes(new BinaryWriter().tag(1, 0).int64(-5n).finish()).finish(),
    ),
    undefined,
  )
  t.equal(scan.deadlineMs, 1)
  t.equal(scanOf(whole, new BinaryWriter().tag(4, 0).int32(-1).finish()), undefined)
  t.equal(scan.lane, laneUnspecified, 'a priority of a newer proto')
  t.equal(
    scanOf(whole, new BinaryWriter().tag(2, 0).uint32(4).finish()),
    undefined,
    'a known field of another wire type is unknown',
  )
  t.equal(scan.srv, parseSrv('4.8.1'))
  for (const text of ['', '4', '4.', '.4', '4.8.1.1', '4.0', '4.x', '999.1']) {
    t.equal(
      scanOf(ServiceRequest.encode({ ...sample, serviceReferenceVariant: text }).finish()),
      undefined,
    )
    t.equal(scan.srv, 0, JSON.stringify(text))
  }
  t.end()
})

t.test('cut at every length, and any octets: a value or a named code', (t) => {
  const codes = new Set([
    undefined,
    'REQUEST_WIRE_MALFORMED',
    'REQUEST_ID_MALFORMED',
    'REQUEST_SIZE_EXCEEDED',
  ])
  const scan = new RequestScan()
  const whole = Buffer.from(ServiceRequest.encode(sample).finish())
  const boundaries = new Set([0])
  for (const field of fieldsOf(whole)) boundaries.add([...boundaries].at(-1)! + field.length)
  for (let end = 0; end < whole.length; end++) {
    const code = scanServiceRequest(whole, 0, end, scan)
    if (boundaries.has(end)) t.not(code, 'REQUEST_WIRE_MALFORMED', `cut at ${end}, between fields`)
    else t.equal(code, 'REQUEST_WIRE_MALFORMED', `cut at ${end}`)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
      const view = Buffer.from(octets)
      const seen =
        codes.has(scanServiceRequest(view, 0, view.length, scan)) &&
        codes.has(scanRequestId(view, 0, view.length, scan))
      return (
        seen &&
        codes.has(
          forEachRequest(view, (start, end) => void scanServiceRequest(view, start, end, scan)),
        )
      )
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(request, fc.nat(), fc.nat(255), (wanted, at, octet) => {
      const view = Buffer.from(ServiceRequest.encode(wanted).finish())
      view[at % view.length] = octet
      return codes.has(scanServiceRequest(view, 0, view.length, scan))
    }),
    { numRuns: 1000 },
  )
  t.end()
})

t.test('scan never accepts wire that the generated decoder refuses', (t) => {
  const scan = new RequestScan()
  fc.assert(
    fc.property(request, fc.nat(), fc.nat(255), (wanted, at, octet) => {
      // Neither body nor signature is looked into by the scan, and where one is longer than its
      // field the generated decoder goes on behind it, and reads something else.
      const plain = { ...wanted, body: undefined, signature: undefined }
      const view = Buffer.from(ServiceRequest.encode(plain).finish())
      view[at % view.length] = octet
      if (scanServiceRequest(view, 0, view.length, scan) !== undefined) return
      if (scan.bodyType !== 0 || scan.signatureStart > 0) return
      let decoded: ServiceRequest
      try {
        decoded = ServiceRequest.decode(view)
      } catch {
        // Text that is no UTF-8 stands in the variant only: it is none then.
        t.equal(scan.srv, 0)
        return
      }
      t.equal(scan.counter, decoded.requestId!.counter)
      t.same(scan.target, textOctets(decoded.requestId!.target))
    }),
    { numRuns: 1000 },
  )
  t.end()
})

t.test('batches: each request in order, refused whole when malformed or too many', (t) => {
  const scan = new RequestScan()
  const requests = [1n, 2n, 3n].map((counter) => ({
    ...sample,
    requestId: { ...sample.requestId!, counter },
  }))
  const view = Buffer.from(SubmitBatchRequest.encode({ requests }).finish())
  const seen: bigint[] = []
  const visit = (start: number, end: number): void => {
    t.equal(scanServiceRequest(view, start, end, scan), undefined)
    seen.push(scan.counter)
  }
  t.equal(forEachRequest(view, visit), undefined)
  t.same(seen, [1n, 2n, 3n])
  const one = Buffer.from(SubmitRequest.encode({ request: sample }).finish())
  let count = 0
  t.equal(
    forEachRequest(one, () => count++),
    undefined,
  )
  t.equal(count, 1)
  const cut = view.subarray(0, view.length - 1)
  t.equal(
    forEachRequest(cut, () => t.fail('visited')),
    'REQUEST_WIRE_MALFORMED',
  )
  const many = Buffer.concat(
    Array.from({ length: limits.requestsPerBatchMax + 1 }, () => Buffer.of(0x0a, 0)),
  )
  t.equal(
    forEachRequest(many, () => t.fail('visited')),
    'REQUEST_SIZE_EXCEEDED',
  )
  count = 0
  t.equal(
    forEachRequest(many.subarray(2), () => count++),
    undefined,
  )
  t.equal(count, limits.requestsPerBatchMax)
  t.end()
})

t.test('the RequestID of a Cancel or a status query', (t) => {
  const scan = new RequestScan()
  const view = Buffer.from(CancelRequest.encode({ requestId: sample.requestId }).finish())
  t.equal(scanRequestId(view, 0, view.length, scan), undefined)
  t.equal(scan.counter, sample.requestId!.counter)
  t.equal(scan.bodyType, 0)
  t.equal(scanRequestId(view, 0, 0, scan), 'REQUEST_ID_MALFORMED')
  for (let end = 1; end < view.length; end++)
    t.equal(scanRequestId(view, 0, end, scan), 'REQUEST_WIRE_MALFORMED')
  t.end()
})

t.test(
  'the body is borrowed: from the received buffer to the one gather-write nothing is copied',
  (t) => {
    const received = Buffer.from(SubmitBatchRequest.encode({ requests: [sample] }).finish())
    const scan = new RequestScan()
    let bodyView = Buffer.alloc(0)
    forEachRequest(received, (start, end) => {
      scanServiceRequest(received, start, end, scan)
      bodyView = received.subarray(scan.bodyStart, scan.bodyEnd)
    })
    t.equal(bodyView.buffer, received.buffer, 'the view shares the memory of the received chunk')
    t.same(ReadPeriod.decode(bodyView), sample.body!.value)
    // A mark set in the received octets is seen through the view that writeEnvelope is given, and
    // in the frame once written.
    received[scan.bodyStart] = 0xee
    const header: Header = {
      kind: Kind.SERVICE_REQUEST,
      lane: 2,
      srv: scan.srv,
      outcome: 0,
      bodyType: scan.bodyType,
      attempt: 0,
      originator: scan.originator,
      target: scan.target,
      counter: scan.counter,
      time: nowMs,
      deadline: scan.deadlineMs,
      correlation: 1,
    }
    const frame = Buffer.alloc(500)
    const end = writeEnvelope(frame, 0, header, bodyView)
    t.equal(bodyView[0], 0xee)
    t.same(frame.subarray(headerBytes, end), bodyView)
    t.equal(
      scan.originator.buffer === received.buffer,
      false,
      'identifiers are parsed into octets of their own',
    )
    t.end()
  },
)

const placeOf = (bodyType: number, bodyEnd: number) => ({ bodyType, bodyStart: 0, bodyEnd })

t.test('body rules at their edges', (t) => {
  const check = (text: string, request: ServiceRequest['body']): string | undefined => {
    const view = Buffer.from(ServiceRequest.encode({ ...sample, body: request }).finish())
    const scan = new RequestScan()
    t.equal(scanServiceRequest(view, 0, view.length, scan), undefined)
    return checkBody(serviceRequestOf(parseSrv(text))!, view, scan, nowMs)
  }
  const message = (text: string): string | undefined =>
    check('3.1', { $case: 'displayMessage', value: { text } })
  t.equal(message('x'), undefined)
  t.equal(message('x'.repeat(116)), undefined)
  t.equal(message('€'.repeat(116)), undefined, 'characters, not octets')
  t.equal(message('🔌'.repeat(116)), undefined)
  t.equal(message('x'.repeat(117)), 'REQUEST_BODY_MALFORMED')
  t.equal(message('🔌'.repeat(117)), 'REQUEST_BODY_MALFORMED')
  t.equal(message(''), 'REQUEST_BODY_MALFORMED')
  const row = serviceRequestOf(parseSrv('3.1'))!
  const invalidText = Buffer.of(0x0a, 2, 0xc3, 0x28)
  t.equal(
    checkBody(row, invalidText, placeOf(16, invalidText.length), nowMs),
    'REQUEST_BODY_MALFORMED',
    'text that is no UTF-8',
  )
  t.equal(checkBody(row, invalidText, placeOf(16, 3), nowMs), 'REQUEST_WIRE_MALFORMED')
  const good = Buffer.from(DisplayMessage.encode({ text: 'hello' }).finish())
  t.equal(checkBody(row, good, placeOf(16, good.length), nowMs), undefined)
  t.equal(
    checkBody(row, good, placeOf(16, 0), nowMs),
    'REQUEST_BODY_MALFORMED',
    'no text after a good one',
  )

  const period = (from: number | undefined, to: number | undefined): string | undefined =>
    check('4.8.1', {
      $case: 'readPeriod',
      value: {
        startTime: from === undefined ? undefined : new Date(from),
        endTime: to === undefined ? undefined : new Date(to),
      },
    })
  const kept = limits.profileDaysMax * dayMs
  t.equal(period(nowMs - dayMs, nowMs), undefined)
  t.equal(period(nowMs, nowMs), undefined, 'one moment')
  t.equal(period(nowMs, nowMs - 1), 'REQUEST_RANGE_BACKWARDS')
  t.equal(period(nowMs - kept, nowMs), undefined)
  t.equal(period(nowMs - kept - 1, nowMs), 'REQUEST_RANGE_EXCEEDED')
  t.equal(
    period(nowMs - kept - 1, nowMs - dayMs),
    'REQUEST_RANGE_EXCEEDED',
    'before what a meter keeps',
  )
  t.equal(period(nowMs - dayMs, nowMs - dayMs + kept + 1), 'REQUEST_RANGE_EXCEEDED')
  t.equal(period(undefined, nowMs), 'REQUEST_BODY_MALFORMED')
  t.equal(period(nowMs, undefined), 'REQUEST_BODY_MALFORMED')

  const tolerance = (toleranceSeconds: number): string | undefined =>
    check('6.11', { $case: 'synchroniseClock', value: { toleranceSeconds } })
  t.equal(tolerance(0), undefined)
  t.equal(tolerance(86_400), undefined)
  t.equal(tolerance(86_401), 'REQUEST_BODY_MALFORMED')

  t.equal(check('4.1.1', undefined), undefined)
  t.equal(
    check('4.1.1', { $case: 'synchroniseClock', value: { toleranceSeconds: 1 } }),
    'REQUEST_BODY_MISMATCH',
  )
  t.equal(check('4.8.1', undefined), 'REQUEST_BODY_MISMATCH')
  t.equal(
    check('3.1', { $case: 'readPeriod', value: { startTime: undefined, endTime: undefined } }),
    'REQUEST_BODY_MISMATCH',
  )
  t.end()
})

t.test('any octets as a body: fine or a named code', (t) => {
  const codes = new Set([
    undefined,
    'REQUEST_WIRE_MALFORMED',
    'REQUEST_BODY_MALFORMED',
    'REQUEST_RANGE_BACKWARDS',
    'REQUEST_RANGE_EXCEEDED',
  ])
  const rows = ['3.1', '4.8.1', '6.11'].map((text) => serviceRequestOf(parseSrv(text))!)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...rows), (octets, row) => {
      const view = Buffer.from(octets)
      return codes.has(checkBody(row, view, placeOf(row.bodyType, view.length), nowMs))
    }),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('varints are those of the reference writer', (t) => {
  const writer = new ProtobufWriter(16)
  const anyU64 = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.nat(64).map((bits) => (1n << BigInt(bits)) - 1n),
  )
  fc.assert(
    fc.property(anyU64, (value) => {
      const unsigned = Buffer.from(new BinaryWriter().uint64(value).finish())
      writer.varint64(Number(value & 0xffff_ffffn), Number(value >> 32n))
      t.same(writer.take(), unsigned)
      if (value <= 2n ** 53n) {
        writer.varint(Number(value))
        t.same(writer.take(), unsigned)
        t.equal(varintBytes(Number(value)), unsigned.length)
      }
      const signed = BigInt.asIntN(64, value)
      writer.zigzag64(Number(value & 0xffff_ffffn), Number(value >> 32n))
      t.same(writer.take(), Buffer.from(new BinaryWriter().sint64(signed).finish()))
      const reader = new ProtobufReader(unsigned).open(unsigned, 0, unsigned.length)
      reader.readVarint()
      t.equal((BigInt(reader.high) << 32n) | BigInt(reader.low), value)
      t.equal(reader.at, unsigned.length)
    }),
    { numRuns: 1000 },
  )
  for (const value of [0, 1, -1, 63, -64, 2 ** 31 - 1, -(2 ** 31)]) {
    writer.zigzag(value)
    t.same(writer.take(), Buffer.from(new BinaryWriter().sint32(value).finish()))
  }
  t.end()
})

t.test('embedded messages of every length, whatever was reserved for it', (t) => {
  for (const content of [0, 1, 127, 128, 16_383, 16_384, 70_000]) {
    for (const reserved of [1, 2, 3]) {
      const writer = new ProtobufWriter(64)
      writer.octet(0x0a)
      const mark = writer.open(reserved)
      writer.raw(Buffer.alloc(content, 0x55))
      writer.close(mark, reserved)
      writer.octet(0x10)
      const expected = new BinaryWriter().tag(1, 2).bytes(Buffer.alloc(content, 0x55)).finish()
      t.same(
        writer.take(),
        Buffer.concat([expected, Buffer.of(0x10)]),
        `${content} octets, ${reserved} reserved`,
      )
    }
  }
  t.end()
})

t.test('a message that was taken is never written again', (t) => {
  const writer = new ProtobufWriter(1024)
  const taken: [Buffer, number][] = []
  for (let i = 0; i < 200; i++) {
    writer.raw(Buffer.alloc(100, i))
    writer.raw(Buffer.alloc(i % 7 === 0 ? 3000 : 5, i))
    if (i % 5 === 0) writer.reset()
    else taken.push([writer.take(), i])
  }
  for (const [message, i] of taken)
    t.ok(
      message.every((octet) => octet === (i & 255)),
      `message ${i}`,
    )
  t.end()
})
