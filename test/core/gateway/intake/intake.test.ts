/**
 * The intake without a network: slots, frames, owners that change, limits, and that a body is
 * copied once.
 */
import t from 'tap'
import { executionAheadMsMax, executionLateMsMax } from '../../../../core/access/future-dating.ts'
import type { ErrorCode } from '../../../../core/base/error-table.ts'
import { limits } from '../../../../core/base/limits.ts'
import {
  readBodyView,
  readCounter,
  readDeadline,
  readKind,
  readLane,
  readTime,
} from '../../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../../core/envelope/frame.ts'
import { Kind } from '../../../../core/envelope/layout.ts'
import { formatWithSchedules } from '../../../../core/cluster/format.ts'
import { executeAtIn } from '../../../../core/envelope/future-request.ts'
import { sequenceIn } from '../../../../core/envelope/sequenced-request.ts'
import { requestBodyView } from '../../../../core/envelope/signed-request.ts'
import { PartyAccount } from '../../../../core/gateway/intake/party-account.ts'
import { RequestScan, scanServiceRequest } from '../../../../core/translate/scan.ts'
import { SubmitBatchRequest } from '../../../../proto/gen/busbar/v1/input_gateway.ts'
import { ServiceRequest } from '../../../../proto/gen/busbar/v1/service_request.ts'
import { Answers, makeIntake, party, startMs, turnOver, wire } from '../held-intake.ts'
import { accepted, requestOf, supplier } from '../rig.ts'

t.test(
  'requests of one turn go out in one frame and each gets its own answer, whatever their order',
  async (t) => {
    const { bus, intake, account, answers } = makeIntake()
    for (let tag = 0; tag < 5; tag++) {
      const view = wire()
      intake.submit(account, view, 0, view.length, answers, tag)
    }
    await bus.until(1)
    await turnOver()
    t.equal(bus.sent.length, 1)
    t.equal(bus.sent[0]!.subject, 'host.a')
    t.equal(account.inFlight, 5)
    let n = 0
    // The rig answers in reverse; every second one is refused.
    bus.sent[0]!.answer(() => (n++ % 2 === 0 ? accepted : { outcome: 'DEVICE_UNKNOWN' }))
    await answers.until(5)
    t.same([...answers.codes].sort(), [
      [0, 'REQUEST_ACCEPTED'],
      [1, 'DEVICE_UNKNOWN'],
      [2, 'REQUEST_ACCEPTED'],
      [3, 'DEVICE_UNKNOWN'],
      [4, 'REQUEST_ACCEPTED'],
    ])
    t.equal(intake.requestsInFlight, 0)
    t.equal(account.inFlight, 0)
  },
)

t.test('the envelope says what the request said; lane and deadline have defaults', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const period = { startTime: new Date(startMs - 86_400_000), endTime: new Date(startMs) }
  const plain = wire({
    serviceReferenceVariant: '4.8.1',
    body: { $case: 'readPeriod', value: period },
  })
  const urgent = wire({ priority: 1, deadline: new Date(startMs + 5_000) })
  intake.submit(account, plain, 0, plain.length, answers, 0)
  intake.submit(account, urgent, 0, urgent.length, answers, 1)
  await bus.until(1)
  const { frame } = bus.sent[0]!
  const places: number[] = []
  forEachEnvelope(frame, 0, (at) => places.push(at))
  t.equal(readDeadline(frame, places[0]!), startMs + limits.requestLifetimeMs)
  t.equal(readTime(frame, places[0]!), startMs)
  t.equal(readLane(frame, places[0]!), 2, 'profiles are bulk in the catalogue')
  t.equal(readLane(frame, places[1]!), 0)
  t.equal(readDeadline(frame, places[1]!), startMs + 5_000)
  t.equal(readBodyView(frame, places[1]!).length, 0)
  const scan = new RequestScan()
  scanServiceRequest(plain, 0, plain.length, scan)
  t.ok(readBodyView(frame, places[0]!).equals(plain.subarray(scan.bodyStart, scan.bodyEnd)))
})

t.test('an execution time goes along, with a deadline a day behind it', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const executeAt = startMs + 3_600_000
  const view = wire({ executionTime: new Date(executeAt) })
  intake.submit(account, view, 0, view.length, answers, 0)
  const withDeadline = wire({
    executionTime: new Date(executeAt),
    deadline: new Date(executeAt + 5),
  })
  intake.submit(account, withDeadline, 0, withDeadline.length, answers, 1)
  await bus.until(1)
  const { frame } = bus.sent[0]!
  const places: number[] = []
  forEachEnvelope(frame, 0, (at) => places.push(at))
  t.same(
    places.map((at) => [readKind(frame, at), executeAtIn(frame, at), readDeadline(frame, at)]),
    [
      [Kind.FUTURE_REQUEST, executeAt, executeAt + executionLateMsMax],
      [Kind.FUTURE_REQUEST, executeAt, executeAt + 5],
    ],
  )
  const refused: [Partial<ServiceRequest>, ErrorCode][] = [
    [{ executionTime: new Date(startMs + executionAheadMsMax + 1_000) }, 'EXECUTION_TIME_FAR'],
    [{ executionTime: new Date(executeAt), firstInSequence: true }, 'EXECUTION_TIME_UNFIT'],
    [
      { executionTime: new Date(executeAt), serviceReferenceVariant: '7.4' },
      'EXECUTION_TIME_UNFIT',
    ],
    [
      { executionTime: new Date(executeAt), deadline: new Date(executeAt) },
      'REQUEST_DEADLINE_PAST',
    ],
  ]
  for (const [index, [terms, code]] of refused.entries()) {
    const octets = wire(terms)
    intake.submit(account, octets, 0, octets.length, answers, 10 + index)
    t.equal(answers.codes.get(10 + index), code)
  }
  const before = makeIntake({ format: formatWithSchedules - 1 })
  before.intake.submit(before.account, view, 0, view.length, before.answers, 0)
  t.equal(before.answers.codes.get(0), 'FORMAT_NOT_RAISED')
})

t.test('a place in a sequence goes along, once the deployment has a format for it', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const plain = wire({ firstInSequence: true })
  const body = { $case: 'displayMessage', value: { text: 'x' } } as const
  const { requestId } = requestOf()
  const precedingRequestId = { ...requestId!, counter: 4n }
  const later = wire({ serviceReferenceVariant: '3.1', precedingRequestId, body })
  for (const [tag, view] of [plain, later].entries())
    intake.submit(account, view, 0, view.length, answers, tag)
  const half = wire({ precedingRequestId: { ...requestId!, counter: 0n } })
  intake.submit(account, half, 0, half.length, answers, 2)
  t.same([...answers.codes], [[2, 'REQUEST_ID_MALFORMED']])
  await bus.until(1)
  const { frame } = bus.sent[0]!
  const places: number[] = []
  forEachEnvelope(frame, 0, (at) => places.push(at))
  t.same(
    places.map((at) => readKind(frame, at)),
    [Kind.SEQUENCED_REQUEST, Kind.SEQUENCED_REQUEST],
  )
  t.match(sequenceIn(frame, places[0]!), { isFirst: true, preceding: undefined })
  const octets = Buffer.alloc(8)
  octets[7] = 4
  t.match(sequenceIn(frame, places[1]!), {
    isFirst: false,
    preceding: { originator: party.id, counter: octets.toString('latin1') },
  })
  t.equal(requestBodyView(frame, places[1]!).toString('latin1', 2), 'x')
  const before = makeIntake({ format: formatWithSchedules - 1 })
  before.intake.submit(before.account, later, 0, later.length, before.answers, 0)
  before.intake.submit(before.account, wire(), 0, wire().length, before.answers, 1)
  t.same([...before.answers.codes], [[0, 'FORMAT_NOT_RAISED']], 'the other one is on its way')
})

t.test('a body is copied once: from the received buffer into the frame', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const request = requestOf({
    serviceReferenceVariant: '3.1',
    body: { $case: 'displayMessage', value: { text: 'Guten Tag' } },
  })
  const message = Buffer.from(SubmitBatchRequest.encode({ requests: [request] }).finish())
  const inner = ServiceRequest.encode(request).finish().length
  const start = message.length - inner
  // Every copy of octets between buffers is seen.
  const copies: { from: ArrayBufferLike; bytes: number }[] = []
  const set = Uint8Array.prototype.set
  const copy = Buffer.prototype.copy
  t.teardown(() => {
    Uint8Array.prototype.set = set
    Buffer.prototype.copy = copy
  })
  Uint8Array.prototype.set = function (
    this: Uint8Array,
    source: ArrayLike<number>,
    at?: number,
  ): void {
    if (source instanceof Uint8Array) copies.push({ from: source.buffer, bytes: source.length })
    set.call(this, source, at)
  } as typeof set
  Buffer.prototype.copy = function (this: Buffer, ...rest: Parameters<typeof copy>): number {
    copies.push({ from: this.buffer, bytes: Number(rest[3] ?? this.length) - Number(rest[2] ?? 0) })
    return copy.apply(this, rest)
  } as typeof copy
  intake.submit(account, message, start, message.length, answers, 0)
  Uint8Array.prototype.set = set
  Buffer.prototype.copy = copy
  const scan = new RequestScan()
  scanServiceRequest(message, start, message.length, scan)
  const ofMessage = copies.filter(({ from }) => from === message.buffer)
  t.same(
    ofMessage,
    [{ from: message.buffer, bytes: scan.bodyEnd - scan.bodyStart }],
    'one copy, of the body only',
  )
  await bus.until(1)
  const { frame } = bus.sent[0]!
  t.ok(readBodyView(frame, 0).equals(message.subarray(scan.bodyStart, scan.bodyEnd)))
  t.not(frame.buffer, message.buffer, 'the frame does not keep the received chunk alive')
})

t.test('what can be decided at the gateway is refused at once and reaches no host', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const cases: [string, Buffer][] = [
    ['REQUEST_SRV_UNKNOWN', wire({ serviceReferenceVariant: '99.9' })],
    ['REQUEST_SRV_UNKNOWN', wire({ serviceReferenceVariant: '' })],
    ['REQUEST_SRV_UNSUPPORTED', wire({ serviceReferenceVariant: '1.1.1' })],
    ['REQUEST_COMMAND_VARIANT_UNFIT', wire({ commandVariant: 5 })],
    ['REQUEST_COMMAND_VARIANT_UNFIT', wire({ commandVariant: 4_000_000_000 })],
    ['REQUEST_LOCAL_DELIVERY_UNAVAILABLE', wire({ commandVariant: 2 })],
    ['REQUEST_DOOR_UNFIT', wire({ serviceReferenceVariant: '6.11', commandVariant: 4 })],
    [
      'REQUEST_ID_MALFORMED',
      wire({ requestId: { originator: supplier, target: 'nonsense', counter: 1n } }),
    ],
    ['REQUEST_ID_MALFORMED', wire({ requestId: undefined })],
    [
      'PARTY_ORIGINATOR_MISMATCH',
      wire({ requestId: { originator: '90-B3-D5-1F-30-02-00-00', target: supplier, counter: 1n } }),
    ],
    ['REQUEST_DEADLINE_PAST', wire({ deadline: new Date(startMs + 31 * 86_400_000) })],
    ['REQUEST_BODY_MISMATCH', wire({ body: { $case: 'displayMessage', value: { text: 'x' } } })],
    [
      'REQUEST_RANGE_BACKWARDS',
      wire({
        serviceReferenceVariant: '4.8.1',
        body: {
          $case: 'readPeriod',
          value: { startTime: new Date(startMs), endTime: new Date(startMs - 1) },
        },
      }),
    ],
    [
      'REQUEST_RANGE_EXCEEDED',
      wire({
        serviceReferenceVariant: '4.8.1',
        body: {
          $case: 'readPeriod',
          value: { startTime: new Date(startMs - 500 * 86_400_000), endTime: new Date(startMs) },
        },
      }),
    ],
    [
      'REQUEST_SIZE_EXCEEDED',
      wire({
        serviceReferenceVariant: '3.1',
        body: { $case: 'displayMessage', value: { text: 'x'.repeat(70_000) } },
      }),
    ],
    ['REQUEST_WIRE_MALFORMED', Buffer.from([0x0a, 0x7f, 0x01])],
  ]
  cases.forEach(([, view], tag) => intake.submit(account, view, 0, view.length, answers, tag))
  t.same(
    [...answers.codes.values()],
    cases.map(([code]) => code),
  )
  await turnOver()
  t.equal(bus.sent.length, 0)
  t.equal(intake.requestsInFlight, 0)
})

t.test('a request cut at every length is refused with a named code, or is whole', (t) => {
  const { intake, account } = makeIntake()
  const whole = wire({
    serviceReferenceVariant: '3.1',
    body: { $case: 'displayMessage', value: { text: 'hello' } },
    deadline: new Date(startMs + 1_000),
  })
  const answers = new Answers()
  for (let end = 0; end < whole.length; end++) intake.submit(account, whole, 0, end, answers, end)
  t.ok([...answers.codes.values()].every((code) => code.startsWith('REQUEST_')))
  t.ok(answers.codes.size > whole.length / 2)
  t.end()
})

t.test('full slots, a greedy party and a draining gateway are refused with a hint', async (t) => {
  const { intake, account, answers } = makeIntake({ slots: 3 })
  const clockSet = wire({
    serviceReferenceVariant: '6.11',
    body: { $case: 'synchroniseClock', value: { toleranceSeconds: 0 } },
  })
  for (let tag = 0; tag < 4; tag++) {
    const from = tag < 2 ? account : new PartyAccount(party, 5)
    intake.submit(from, clockSet, 0, clockSet.length, answers, tag)
  }
  t.same([...answers.codes], [[3, 'BROKER_LOAD_SHED']])
  t.equal(answers.waits.get(3), limits.shedRetryMs)
  const other = makeIntake()
  const greedy = new Answers()
  const view = wire()
  for (let tag = 0; tag <= limits.partyRequestsInFlightMax; tag++)
    other.intake.submit(other.account, view, 0, view.length, greedy, tag)
  t.same([...greedy.codes], [[limits.partyRequestsInFlightMax, 'BROKER_GATEWAY_BUSY']])
  other.intake.submit(new PartyAccount(party, 5), view, 0, view.length, greedy, -1)
  t.notOk(greedy.codes.has(-1), 'there is room for another party')
  const drained = intake.drain()
  intake.submit(account, view, 0, view.length, answers, 9)
  t.equal(answers.codes.get(9), 'BROKER_DRAINING')
  t.ok(answers.waits.get(9)! > 0)
  t.equal(intake.requestsInFlight, 3)
  void drained
})

t.test('drain settles when the open requests are answered', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  await intake.drain()
  const second = makeIntake()
  const view = wire()
  second.intake.submit(second.account, view, 0, view.length, answers, 0)
  await second.bus.until(1)
  const drained = second.intake.drain()
  second.bus.sent[0]!.answer(() => accepted)
  await drained
  t.same([...answers.codes.values()], ['REQUEST_ACCEPTED'])
  t.equal(bus.sent.length, 0)
  t.equal(intake.requestsInFlight, 0)
  account.inFlight = 0
})

t.test('only so many frames are out; what comes meanwhile goes in the next one', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const view = wire()
  for (let frame = 0; frame < limits.gatewayFramesInFlightMax; frame++) {
    intake.submit(account, view, 0, view.length, answers, frame)
    await bus.until(frame + 1)
  }
  for (let tag = 100; tag < 150; tag++) intake.submit(account, view, 0, view.length, answers, tag)
  await turnOver()
  t.equal(bus.sent.length, limits.gatewayFramesInFlightMax)
  bus.sent[0]!.answer(() => accepted)
  await bus.until(limits.gatewayFramesInFlightMax + 1)
  let count = 0
  forEachEnvelope(bus.sent.at(-1)!.frame, 0, () => count++)
  t.equal(count, 50)
})

t.test('a host that has lost the partition: the envelope goes to the next owner', async (t) => {
  const { bus, directory, intake, account, answers } = makeIntake()
  const view = wire()
  intake.submit(account, view, 0, view.length, answers, 7)
  await bus.until(1)
  bus.sent[0]!.answer(() => ({ outcome: 'BROKER_PARTITION_UNAVAILABLE' }))
  await turnOver()
  t.equal(answers.codes.size, 0, 'nothing is said yet')
  directory.move('b')
  await bus.until(2)
  t.equal(bus.sent[1]!.subject, 'host.b')
  t.equal(readCounter(bus.sent[1]!.frame, 0), readCounter(bus.sent[0]!.frame, 0))
  bus.sent[1]!.answer(() => accepted)
  await answers.until(1)
  t.equal(answers.codes.get(7), 'REQUEST_ACCEPTED')
})

t.test(
  'an owner that dies in silence: a new one is asked at once, and the dead one not believed',
  async (t) => {
    const { bus, directory, intake, account, answers } = makeIntake()
    const view = wire()
    intake.submit(account, view, 0, view.length, answers, 0)
    await bus.until(1)
    directory.move('b')
    await bus.until(2)
    bus.sent[0]!.answer(() => ({ outcome: 'DEVICE_UNKNOWN' }))
    await turnOver()
    t.equal(answers.codes.size, 0, 'the late answer of the old owner does not count')
    bus.sent[1]!.answer(() => accepted)
    await answers.until(1)
    t.equal(answers.codes.get(0), 'REQUEST_ACCEPTED')
  },
)

t.test(
  'no owner: the request waits for one, and is given up after the wait of a party',
  async (t) => {
    const { bus, clock, directory, intake, account, answers } = makeIntake()
    directory.move(undefined)
    const view = wire()
    intake.submit(account, view, 0, view.length, answers, 0)
    await turnOver()
    t.equal(bus.sent.length, 0)
    directory.move('c')
    await bus.until(1)
    t.equal(bus.sent[0]!.subject, 'host.c')
    bus.sent[0]!.answer(() => accepted)
    await answers.until(1)
    directory.move(undefined)
    intake.submit(account, view, 0, view.length, answers, 1)
    await turnOver()
    for (
      let ms = 0;
      ms <= limits.acknowledgementWaitMsMax && !answers.codes.has(1);
      ms += limits.ownerWaitMs
    ) {
      clock.advanceBy(limits.ownerWaitMs)
      await turnOver()
    }
    t.equal(answers.codes.get(1), 'BROKER_PARTITION_UNAVAILABLE')
    t.equal(answers.waits.get(1), limits.unavailableRetryMs)
    t.equal(intake.requestsInFlight, 0)
  },
)

t.test(
  'a bus that fails, an answer that is garbage or forgets one: asked again, nothing lost',
  async (t) => {
    const { bus, clock, intake, account, answers } = makeIntake()
    const view = wire()
    for (let tag = 0; tag < 2; tag++) intake.submit(account, view, 0, view.length, answers, tag)
    await bus.until(1)
    bus.sent[0]!.fail()
    await turnOver()
    clock.advanceBy(limits.ownerWaitMs)
    await bus.until(2)
    bus.sent[1]!.reply(Buffer.from('this is no frame'))
    await turnOver()
    clock.advanceBy(limits.ownerWaitMs)
    await bus.until(3)
    let n = 0
    bus.sent[2]!.answer(() => (n++ === 0 ? accepted : undefined))
    await answers.until(1)
    await turnOver()
    clock.advanceBy(limits.ownerWaitMs)
    await bus.until(4)
    let again = 0
    forEachEnvelope(bus.sent[3]!.frame, 0, () => again++)
    t.equal(again, 1, 'only the forgotten one')
    bus.sent[3]!.answer(() => accepted)
    await answers.until(2)
    t.same([...answers.codes.values()], ['REQUEST_ACCEPTED', 'REQUEST_ACCEPTED'])
    t.equal(intake.requestsInFlight, 0)
  },
)

t.test('cancel and status go the same way; only for requests of one’s own', async (t) => {
  const { bus, intake, account, answers } = makeIntake()
  const own = Buffer.from(SubmitBatchRequest.encode({ requests: [requestOf()] }).finish())
  // A RequestId in field 1, as in CancelRequest and GetRequestStatusRequest.
  const idOf = (request: Buffer): Buffer => request.subarray(0, 2 + request[1]!)
  const id = idOf(wire())
  const foreign = idOf(
    wire({ requestId: { originator: '90-B3-D5-1F-30-02-00-00', target: supplier, counter: 1n } }),
  )
  intake.cancel(account, id, answers, 0)
  intake.queryStatus(account, id, answers, 1)
  intake.cancel(account, foreign, answers, 2)
  intake.queryStatus(account, own.subarray(0, 3), answers, 3)
  t.equal(answers.codes.get(2), 'PARTY_ORIGINATOR_MISMATCH')
  t.equal(answers.codes.get(3), 'REQUEST_WIRE_MALFORMED')
  await bus.until(1)
  const kinds: number[] = []
  forEachEnvelope(bus.sent[0]!.frame, 0, (at) => kinds.push(readKind(bus.sent[0]!.frame, at)))
  t.same(kinds, [Kind.CANCEL, Kind.STATUS_QUERY])
  bus.sent[0]!.answer((at) =>
    readKind(bus.sent[0]!.frame, at) === Kind.CANCEL
      ? { outcome: 'REQUEST_CANCELLED' }
      : { outcome: 'OK', status: { state: 1, acceptedMs: startMs, endedMs: 0 } },
  )
  await answers.until(4)
  t.equal(answers.codes.get(0), 'REQUEST_CANCELLED')
  t.equal(answers.codes.get(1), 'STATUS')
})
