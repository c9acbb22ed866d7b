/**
 * Records of rejected requests: below the rate each is in the ledger, above it they are counted and
 * the counts add up; none of them changes an actor, and a replay passes them by.
 */
import fc from 'fast-check'
import t from 'tap'
import { exportAudit, type ExportQuery } from '../../actors/cli/operator/audit-export.ts'
import { LedgerAudit } from '../../actors/cli/operator/ledger-audit.ts'
import { readFact, type DeviceFact } from '../../actors/device/facts.ts'
import { readFact as readPartyFact, type PartyFact } from '../../actors/party/facts.ts'
import { hostedParty } from '../../actors/party/party-kind.ts'
import { emptyDirectory, type Directory } from '../../core/access/directory.ts'
import { RejectionGate } from '../../core/access/rejection-gate.ts'
import {
  decodeRejectionReport,
  encodeRejectionReport,
  type Caller,
  type RejectionReport,
} from '../../core/access/rejection-report.ts'
import { unknownParty } from '../../core/access/rejection-sink.ts'
import {
  contentHashOf,
  failedCheckOf,
  isRejection,
  type Rejection,
} from '../../core/access/rejection.ts'
import { numberOfCounter, readRequestCounter } from '../../core/base/counter.ts'
import { errorId, errorTable, type ErrorCode } from '../../core/base/error-table.ts'
import { readEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { parseSrv, type Srv } from '../../core/base/srv.ts'
import { RejectionMail } from '../../core/bus/rejection-mail.ts'
import { formatLatest, formatWithParties } from '../../core/cluster/format.ts'
import { readKind } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { deviceBlocks, isInBlock, partyBlocks } from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimSnapshotStore } from '../../core/ports/sim/snapshots.ts'
import { untrimmed } from '../../core/ports/snapshot.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import { deviceKey, envelopeOf, supplier } from '../support/envelopes.ts'
import { good, partitionCount, settle, World } from '../support/world.ts'

const other = `${supplier.slice(0, 7)}\u0001` as Eui64
const directory: Directory = {
  ...emptyDirectory,
  sequence: 7,
  format: formatLatest,
  isInForce: true,
  parties: new Map([
    [supplier, { id: supplier, role: 'IS', name: 'A', participant: 'AAAA' }],
    [other, { id: other, role: 'IS', name: 'B', participant: 'BBBB' }],
  ]),
}
const unknownDevice = errorId('DEVICE_UNKNOWN')

/** Facts of devices and of parties that are in the ledger. */
function factsOf(world: World): {
  device: DeviceFact[]
  party: Array<PartyFact & { sequence: number }>
} {
  const device: DeviceFact[] = []
  const party: Array<PartyFact & { sequence: number }> = []
  for (const { subject, sequence, data } of world.ledger.all())
    if (subject.startsWith('log.'))
      readTickMessage(
        data,
        (_partition, frame) =>
          forEachEnvelope(frame, chainLinkBytes, (at) => {
            const kind = readKind(frame, at)
            if (isInBlock(kind, deviceBlocks.facts)) device.push(readFact(frame, at))
            if (isInBlock(kind, partyBlocks.facts))
              party.push({ ...readPartyFact(frame, at), sequence })
          }),
        undefined,
      )
  return { device, party }
}

const rejectedIn = (world: World): Rejection[] =>
  factsOf(world).device.flatMap((fact) =>
    fact.type === 'REQUEST_REJECTED' ? [fact.rejection] : [],
  )

t.test('what a party has to correct is a rejection; what may be tried again is not', async (t) => {
  const codes: ErrorCode[] = ['PARTY_NOT_REGISTERED', 'DEVICE_UNKNOWN', 'REQUEST_COUNTER_REUSED']
  for (const code of codes) t.ok(isRejection(code), code)
  const others: ErrorCode[] = [
    'DEVICE_QUEUE_FULL',
    'BROKER_STORAGE_LOW',
    'RIGHTS_NOT_KNOWN',
    'REQUEST_ACCEPTED',
    'DEVICE_ORIGINATORS_FULL',
    'DEVICE_ACTOR_PARKED',
  ]
  for (const code of others) t.notOk(isRejection(code), code)
  for (const code of Object.keys(errorTable) as ErrorCode[])
    if (isRejection(code)) t.equal(errorTable[code].retry, 'never')
  t.equal(failedCheckOf('PARTY_NOT_REGISTERED'), 'registration')
  t.equal(failedCheckOf('REQUEST_COUNTER_TOO_HIGH'), 'replay')
})

t.test('the gate: none is refused below the rate, none admitted above it', async (t) => {
  const most = limits.rejectionsPerSecondMax
  const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 })
  fc.assert(
    fc.property(gaps, (waits) => {
      const gate = new RejectionGate()
      const admitted: number[] = []
      let now = 0
      for (const wait of waits) {
        now += wait
        const lately = admitted.filter((time) => now - time < 1_000).length
        t.equal(gate.admits(supplier, 1, now), lately < most)
        if (lately < most) admitted.push(now)
      }
    }),
  )
  const gate = new RejectionGate()
  const parties = limits.rejectionsOfAllPerSecondMax + 50
  let count = 0
  for (let i = 0; i < parties; i++) if (gate.admits(deviceKey(i), 1, 0)) count++
  t.equal(count, limits.rejectionsOfAllPerSecondMax, 'of all parties')
  t.ok(gate.admits(supplier, 1, 1_000), 'and a second later again')
})

const octets = fc.uint8Array({ minLength: 8, maxLength: 8 })
const eui64 = octets.map((bytes) => readEui64(bytes))
const outcomes = Object.values(errorTable).map(({ id }) => id)
const rejections: fc.Arbitrary<Rejection> = fc.record({
  originator: eui64,
  target: eui64,
  counter: octets.map((bytes) => readRequestCounter(bytes)),
  srv: fc.integer({ min: 0, max: 0xffffff }).map((value) => value as Srv),
  outcome: fc.constantFrom(...outcomes),
  time: fc.nat(),
  check: fc.constantFrom('', 'registration', 'body'),
  contentHash: fc.uint8Array().map((bytes) => contentHashOf(0 as Srv, 1, bytes)),
  commandVariant: fc.nat({ max: 9 }),
  directorySequence: fc.maxSafeNat(),
  rights: fc.array(
    fc.record({ point: eui64.map((id) => id as string as MeterPointId), version: fc.nat() }),
    {
      maxLength: limits.deviceMeterPointsMax,
    },
  ),
})
const reports: fc.Arbitrary<RejectionReport> = fc.record({
  reporter: eui64,
  number: fc.nat(),
  rejections: fc.array(rejections, { maxLength: 5 }),
  counts: fc.array(
    fc.record({
      outcome: fc.constantFrom(...outcomes),
      caller: fc.constantFrom<Caller>('', 'ipv4', 'ipv6'),
      fromMs: fc.nat(),
      toMs: fc.nat(),
      count: fc.nat(),
    }),
    { maxLength: 5 },
  ),
})

t.test(
  'reports and facts read as they were written; other octets are refused by name',
  async (t) => {
    fc.assert(
      fc.property(reports, (report) => {
        const encoded = encodeRejectionReport(report)
        t.same(decodeRejectionReport(encoded), report)
        for (let length = 0; length < Math.min(encoded.length, 60); length++)
          t.throws(() => decodeRejectionReport(encoded.subarray(0, length)), {
            code: 'ENVELOPE_MALFORMED',
          })
      }),
      { numRuns: 30 },
    )
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        t.throws(() => decodeRejectionReport(bytes), {
          code: /^(ENVELOPE_MALFORMED|FORMAT_VERSION_LATER)$/,
        })
      }),
    )
  },
)

t.test('a device records what it rejects, and nothing of it stays with it', async (t) => {
  const counted: Array<[Eui64, number]> = []
  const world = new World({
    directory,
    countRejection: (party, outcome) => void counted.push([party, outcome]),
  })
  await world.start()
  const body = Buffer.from('what it asked for')
  const wanted = { device: deviceKey(9), counter: 5, body, bodyType: 3 }
  const codes = await world.ask([envelopeOf({ ...wanted, correlation: 1 })])
  t.equal(codes?.get(1), 'DEVICE_UNKNOWN')
  t.match(rejectedIn(world), [
    {
      originator: supplier,
      target: deviceKey(9),
      outcome: unknownDevice,
      check: 'device',
      time: world.clock.now(),
      directorySequence: 7,
      rights: [],
    },
  ])
  const [{ counter, contentHash }] = rejectedIn(world) as [Rejection]
  t.equal(numberOfCounter(counter), 5n)
  t.same(contentHash, contentHashOf(parseSrv('4.1.1'), 3, body))
  t.notOk(
    world.ledger.all().some(({ data }) => Buffer.from(data).includes(body)),
    'no body',
  )
  const many = Array.from({ length: 40 }, (_, index) =>
    envelopeOf({ ...wanted, counter: 100 + index, correlation: index }),
  )
  await world.ask(many)
  t.equal(rejectedIn(world).length, limits.rejectionsPerSecondMax)
  t.equal(counted.length, 41 - limits.rejectionsPerSecondMax, 'the others are counted')
  t.same(counted[0], [supplier, unknownDevice])
  world.kill()
  world.stores.clear()
  const again = await world.start('b')
  await settle()
  t.same(again.trouble, undefined, 'a ledger with records is replayed')
  const audit = new LedgerAudit(untrimmed, undefined, partitionCount)
  for (const message of world.ledger.all()) audit.read(message)
  const { facts, accepted, ended, open, faults } = audit.result()
  t.same(
    { facts, accepted, ended, open, faults },
    { facts: 10, accepted: 0, ended: 0, open: 0, faults: [] },
  )
  await again.close()
  for (const store of world.stores.values())
    t.equal(store.load(deviceKey(9) as never), undefined, 'the device left nothing behind')
})

t.test('neither before format 3, nor while the ledger has little room', async (t) => {
  const counted: Eui64[] = []
  const countRejection = (party: Eui64): void => void counted.push(party)
  const before = { ...directory, format: formatWithParties }
  const world = new World({ directory: before, countRejection })
  await world.start()
  await world.ask([envelopeOf({ device: deviceKey(9) })])
  t.same([rejectedIn(world).length, counted.length], [0, 0], 'a version before could not read it')
  const full = new World({
    directory,
    countRejection,
    ledgerBytesMax: 12_000,
    snapshots: new SimSnapshotStore(),
  })
  await full.start()
  for (let turn = 0; turn < 60; turn++) {
    await full.ask([envelopeOf({ device: deviceKey(9), counter: turn + 1 })])
    full.clock.advanceBy(limits.snapshotLookMs)
    await settle()
  }
  const recorded = rejectedIn(full).length
  t.ok(recorded > 5 && recorded < 50, `${recorded} of 60 are recorded`)
  const { bytes, bytesMax } = await full.ledger.usage()
  t.ok(bytes < bytesMax * 0.85, `${bytes} of ${bytesMax}`)
  t.equal(counted.length, 60 - recorded)
})

/** A gateway's mail to party actors in a world, whose clock the caller moves. */
class Post {
  readonly world: World
  readonly mail: RejectionMail
  /** How many answers are lost. */
  lost = 0

  constructor(world: World) {
    this.world = world
    const { bus, clock } = world
    const owners = {
      partitionCount,
      ownerOf: () => 'a',
      changed: () => Promise.resolve(),
      isSilent: () => false,
    }
    this.mail = new RejectionMail({
      bus: {
        serve: (subject, onFrame) => bus.serve(subject, onFrame),
        listen: (subject, onData) => bus.listen(subject, onData),
        announce: (subject, data) => bus.announce(subject, data),
        request: async (subject, frame, timeoutMs) => {
          const answer = await bus.request(subject, frame, timeoutMs)
          if (this.lost-- > 0) throw new Error('lost')
          return answer
        },
      },
      directory: owners,
      clock,
      random: seededRandom(3),
      log: silentLog,
      metrics: noMetrics,
      directorySequence: () => 7,
    })
    this.mail.start()
  }

  reject(party: Eui64, counter: number, code: ErrorCode = 'PARTY_ROLE_INELIGIBLE'): void {
    const outcome = errorId(code)
    if (!this.mail.mayRecord(party, outcome)) return
    const octetsOf = Buffer.alloc(8)
    octetsOf.writeBigUInt64BE(BigInt(counter))
    this.mail.record(party, {
      originator: party,
      target: deviceKey(1),
      counter: readRequestCounter(octetsOf),
      srv: parseSrv('4.1.1'),
      outcome,
      time: this.world.clock.now(),
      check: failedCheckOf(code),
      contentHash: contentHashOf(parseSrv('4.1.1'), 0, Buffer.of(counter & 0xff)),
      commandVariant: 0,
      rights: [],
    })
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      this.world.clock.advanceBy(500)
      await settle()
    }
  }

  /** Recorded one by one, and counted; a report that came twice is taken once. */
  sums(): { recorded: number; counted: number } {
    const seen = new Map<string, number>()
    let recorded = 0
    let counted = 0
    const { party } = factsOf(this.world)
    for (const fact of party) {
      if (fact.type === 'PARTY_CHANGED') continue
      const { reporter, number } = fact.report
      const first = seen.get(`${reporter}${number}`) ?? fact.sequence
      seen.set(`${reporter}${number}`, first)
      if (first !== fact.sequence) continue
      if (fact.type === 'REJECTION_REPORTED') recorded++
      else counted += fact.count.count
    }
    return { recorded, counted }
  }
}

t.test('a gateway: recorded by the party, and counts that add up, whatever is lost', async (t) => {
  const world = new World({ directory, moreKinds: [hostedParty] })
  await world.start()
  const post = new Post(world)
  let count = 0
  for (let second = 0; second < 8; second++) {
    const wanted = second % 3 === 0 ? 25 : 4
    for (let i = 0; i < wanted; i++) post.reject(i % 2 === 0 ? supplier : other, ++count)
    if (second === 4) post.lost = 2
    await post.pass(1_000)
  }
  post.mail.count(unknownParty, errorId('PARTY_CERTIFICATE_MISSING'), 'ipv6')
  await post.pass(2 * limits.rejectionCountMs)
  const { recorded, counted } = post.sums()
  t.equal(recorded + counted, count + 1, 'all are there')
  t.ok(counted > 5, `${counted} above the rate`)
  const { party } = factsOf(world)
  const ofNobody = party.find(
    (fact) => fact.type === 'REJECTIONS_COUNTED' && fact.count.caller === 'ipv6',
  )
  t.match(ofNobody, { count: { count: 1, outcome: errorId('PARTY_CERTIFICATE_MISSING') } })
  t.match(
    party.find((fact) => fact.type === 'REJECTION_REPORTED'),
    { rejection: { check: 'roleSrv', directorySequence: 7, target: deviceKey(1) } },
  )
})

t.test('below the rate each is recorded; the queue is bounded', async (t) => {
  const world = new World({ directory, moreKinds: [hostedParty] })
  await world.start()
  const post = new Post(world)
  for (let turn = 0; turn < 60; turn++) {
    post.reject(supplier, turn)
    await post.pass(500)
  }
  await post.pass(2_000)
  t.same(post.sums(), { recorded: 60, counted: 0 })
  // Nobody answers: what is left is held, in bounds, and comes when somebody does.
  post.lost = Infinity
  for (let turn = 0; turn < 300; turn++) {
    for (let i = 0; i < 10; i++) post.reject(supplier, 100 + turn)
    await post.pass(500)
  }
  post.lost = 0
  await post.pass(4 * limits.rejectionCountMs)
  const { recorded, counted } = post.sums()
  t.equal(recorded + counted, 60 + 3_000)
  t.ok(recorded <= 60 + 2 * limits.rejectionsQueuedMax)
})

t.test('a frame of records alone is saved, so that the ledger can forget it', async (t) => {
  const world = new World({ directory })
  const host = await world.start()
  await world.ask([envelopeOf({ device: deviceKey(9) })])
  const { sequence } = world.ledger.all().at(-1)!
  for (let second = 0; second < 5; second++) {
    world.clock.advanceBy(1_000)
    await settle()
  }
  const { partitions } = host.status()
  t.ok(
    partitions.some(({ savedSequence }) => savedSequence >= sequence),
    JSON.stringify(partitions.map(({ savedSequence }) => savedSequence)),
  )
})

t.test('an export has what concerns one party or device, and says what was read', async (t) => {
  const world = new World({ directory, onExchange: good })
  await world.start()
  await world.register(2)
  t.equal(await world.submit({ device: deviceKey(0) }), 'REQUEST_ACCEPTED')
  await settle()
  await world.ask([envelopeOf({ device: deviceKey(9), originator: other, counter: 5 })])
  const exported = async (query: Partial<ExportQuery>) => {
    const lines: any[] = [] // oxlint-disable-line typescript/no-explicit-any
    const whole = { fromMs: -Infinity, toMs: Infinity, ...query }
    const code = await exportAudit(world.ledger, whole, (line) => lines.push(JSON.parse(line)))
    t.equal(code, 0)
    return { lines: lines.slice(0, -1), read: lines.at(-1).export }
  }
  const all = await exported({})
  t.ok(all.lines.length >= 5)
  t.same(all.read.lines, all.lines.length)
  const rejected = await exported({ party: textOfEui64(other) })
  t.equal(rejected.lines.length, 1)
  t.match(rejected.lines[0], {
    actor: textOfEui64(deviceKey(9)),
    requestId: `${textOfEui64(other)}:${textOfEui64(deviceKey(9))}:5`,
    what: 'REQUEST_REJECTED 4.1.1 DEVICE_UNKNOWN, check device',
  })
  const ofDevice = await exported({ device: textOfEui64(deviceKey(0)) })
  t.match(
    ofDevice.lines.map(({ what }) => what.split(' ')[0]),
    ['DEVICE_ADDRESSED', 'REQUEST_ACCEPTED', 'REQUEST_ENDED', 'DELIVERY'],
  )
  t.equal((await exported({ toMs: 0 })).lines.length, 0)
  t.equal((await exported({ fromMs: world.clock.now() + 1 })).lines.length, 0)
  t.same(rejected.read.chains, all.read.chains, 'the same ledger, however it is filtered')
})
