/**
 * The way of one message, hop by hop, with the real parts and no sockets. Read it from top to
 * bottom: it is the shortest way to learn what Busbar does and where. The numbers are the stations
 * of the design; the same way over real processes, with kill -9 in the middle, is walked in
 * test/restart.test.ts.
 */
import { emptyDirectory } from '../core/access/directory.ts'
import t from 'tap'
import { decide, evolve } from '../actors/device/actor.ts'
import type { DeviceOutbox, Send } from '../actors/device/effects.ts'
import { readFact, writeFact } from '../actors/device/facts.ts'
import type { DeviceMessage } from '../actors/device/messages.ts'
import { next } from '../actors/kind/messages.ts'
import { emptyState } from '../actors/device/state.ts'
import { Tick } from '../actors/runtime/partition/tick.ts'
import { Meter } from '../actors/simulator/meter.ts'
import { decideIntake } from '../core/access/intake.ts'
import { checkBody } from '../core/translate/body.ts'
import { identify } from '../core/access/identity.ts'
import { demoParties } from '../core/access/parties.ts'
import { errorId } from '../core/base/error-table.ts'
import { readEui64 } from '../core/base/eui64.ts'
import { partitionAt } from '../core/envelope/partition.ts'
import { serviceRequestOf } from '../core/catalogue/service-requests.ts'
import { DlmsClient } from '../core/dlms/client/client.ts'
import { DlmsServer } from '../core/dlms/server/server.ts'
import { WrapperReader, wrapInPlace } from '../core/dlms/framing/wrapper.ts'
import {
  readCounter,
  readOriginator,
  readTarget,
  writeEnvelope,
} from '../core/envelope/envelope.ts'
import {
  chainLinkBytes,
  forEachEnvelope,
  FrameWriter,
  genesisHash,
  hashOfFrame,
  writeChainLink,
} from '../core/envelope/frame.ts'
import { headerBytes, Kind } from '../core/envelope/layout.ts'
import { writeTickMessage } from '../core/envelope/tick-message.ts'
import { PartyFeed } from '../core/ledger/party-feed.ts'
import { tickSubject } from '../core/ports/ledger.ts'
import { silentLog } from '../core/ports/log.ts'
import { SimClock } from '../core/ports/sim/clock.ts'
import { SimLedger } from '../core/ports/sim/ledger.ts'
import { answerOf } from '../core/translate/answer.ts'
import { commandOf } from '../core/translate/command.ts'
import { appendDelivery } from '../core/translate/delivery.ts'
import { ProtobufWriter } from '../core/translate/protobuf.ts'
import { RequestScan, scanServiceRequest } from '../core/translate/scan.ts'
import { ReceiveResponse } from '../proto/gen/busbar/v1/output_gateway.ts'
import { ServiceRequest } from '../proto/gen/busbar/v1/service_request.ts'
import { registrationOf } from './support/envelopes.ts'

t.test('a supplier reads the import registers of a meter', async (t) => {
  const now = Date.UTC(2026, 10, 23, 12)
  const clock = new SimClock(now)
  const ledger = new SimLedger()
  const supplierText = '90-B3-D5-1F-30-01-00-00'
  const deviceText = '00-DB-10-00-00-00-00-01'

  // 1. A party hands in a ServiceRequest: protobuf, as any gRPC client would send it.
  const received = Buffer.from(
    ServiceRequest.encode(
      ServiceRequest.fromPartial({
        requestId: { originator: supplierText, target: deviceText, counter: 7n },
        serviceReferenceVariant: '4.1.1',
      }),
    ).finish(),
  )

  // 2. Who is it (one door for identity), and may this role ask for this variant in this shape? The
  //    bytes are scanned where they lie: no object is built.
  const party = identify(supplierText, demoParties())
  if (typeof party === 'string') throw new Error(party)
  const scan = new RequestScan()
  t.equal(scanServiceRequest(received, 0, received.length, scan), undefined, 'well formed')
  t.equal(
    decideIntake(party, undefined, scan, now),
    undefined,
    'an import supplier may read import registers',
  )
  const row = serviceRequestOf(scan.srv)!
  t.equal(checkBody(row, received, scan, now), undefined, 'which take no body')
  t.equal(row.name, 'Read Instantaneous Import Registers')

  // 3. It becomes an envelope: a fixed header, and the body as it came in, copied once into the
  //    frame for its partition's owner.
  const bodyView = received.subarray(scan.bodyStart, scan.bodyEnd)
  const toHost = new FrameWriter()
  const at = toHost.reserve(headerBytes + bodyView.length)
  const { originator, target, counter, srv, bodyType } = scan
  const deadline = now + 120_000
  writeEnvelope(
    toHost.target,
    at,
    {
      kind: Kind.SERVICE_REQUEST,
      lane: row.lane,
      srv,
      outcome: 0,
      bodyType,
      attempt: 0,
      originator,
      target,
      counter,
      time: now,
      deadline,
      correlation: 1,
    },
    bodyView,
  )
  const partition = partitionAt(target, 0, 16)

  // 4. One NATS request takes the frame to the host that owns the partition (core/bus; here it is
  //    simply handed over).
  const frame = toHost.take()

  // 5. The device's actor decides. Pure: facts (what has happened), deliveries and effects (what is
  //    wanted).
  const device = readEui64(target)
  const state = emptyState()
  const step = (message: DeviceMessage): DeviceOutbox => {
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    decide(state, message, clock.now(), emptyDirectory, out)
    for (const fact of out.facts) evolve(state, fact)
    return out
  }
  const registered = step({
    type: 'ARRIVED',
    buffer: registrationOf(device),
    at: 0,
    replyTo: undefined,
  })
  const accepted = step({ type: 'ARRIVED', buffer: frame, at: 0, replyTo: undefined })
  t.equal(accepted.facts[0]?.type, 'REQUEST_ACCEPTED')

  // 6. Group commit: the facts of all partitions of the tick, each partition's chained by hash, in
  //    one message that is refused when anything but the host's last tick is last on its subject:
  //    the next owner of a partition writes there.
  const subject = tickSubject('host')
  const facts = new FrameWriter()
  facts.reserve(chainLinkBytes)
  for (const fact of [...registered.facts, ...accepted.facts]) writeFact(facts, device, fact)
  const logged = facts.take()
  writeChainLink(logged, 0, { partition, frameNumber: 1, previousHash: genesisHash })
  const first = writeTickMessage([{ partition, frame: logged }], [])
  const committed = await ledger.commit([
    { subject, data: first, expect: { subject, sequence: 0 } },
  ])
  const firstSequence = committed.refused === undefined ? committed.firstSequence : -1
  t.equal(committed.refused, undefined, 'on disk')

  // 7. Only now the acknowledgement goes back to the party.
  const acknowledgement = accepted.effects.find((effect) => effect.type === 'ACKNOWLEDGE')
  t.equal(acknowledgement?.outcome, errorId('REQUEST_ACCEPTED'))

  // 8. It is the request's turn: the body becomes COSEM operations, and these an APDU. Nothing of
  //    the actor knows of either.
  const send = step(next).effects.find((effect): effect is Send => effect.type === 'SEND')!
  const operations = commandOf(row, send.request.bodyBytes, clock.now(), send.record.type)
  const client = new DlmsClient({})
  let toMeter = client.begin(operations)

  const population = { seed: 1, gasShare: 0, gasProxyShare: 0, solarShare: 0, secretShare: 0 }

  // 9. and 10. The WAN: wrapper frames over TCP (core/wan; here from hand to hand). The first APDU
  //    asks for an association, the next
  //     for all registers at once. The meter runs the other role of the same codec.
  const meter = new DlmsServer({ objects: new Meter({ population, clock }, 1) })
  const overWan = (apdu: Buffer, from: number, to: number): Buffer => {
    const reader = new WrapperReader()
    reader.push(wrapInPlace(apdu, from, to))
    return Buffer.from(reader.next()!.apduView)
  }
  let results
  for (let turns = 0; results === undefined && turns < 10; turns++) {
    const answer = meter.receive(overWan(toMeter, 16, 1))!
    const outcome = client.receive(overWan(answer, 1, 16))
    if ('send' in outcome) toMeter = outcome.send
    else if ('results' in outcome) results = outcome.results
  }

  // 11. The answer becomes a ResponseBody, once; the actor matches it to what was on its way and
  //    decides who gets it.
  const { outcome, bodyBytes } = answerOf(row, operations, results!)
  const { request } = send
  const ended = step({
    type: 'ANSWERED',
    originator: request.originator,
    counter: request.counter,
    outcome: errorId(outcome),
    bodyBytes,
  })
  t.equal(ended.facts[0]?.type, 'REQUEST_ENDED')

  // 12. Group commit again: the outcome and its delivery together, or neither.
  const tick = new Tick()
  for (const delivery of ended.deliveries) tick.deliver(device, delivery)
  facts.reserve(chainLinkBytes)
  for (const fact of ended.facts) writeFact(facts, device, fact)
  const [deliveries] = tick.frames()
  const loggedNext = facts.take()
  writeChainLink(loggedNext, 0, { partition, frameNumber: 2, previousHash: hashOfFrame(logged) })
  const second = writeTickMessage([{ partition, frame: loggedNext }], [deliveries!])
  const committedNext = await ledger.commit([
    { subject, data: second, expect: { subject, sequence: firstSequence } },
  ])
  t.equal(committedNext.refused, undefined, 'on disk')

  // 13. The output gateway follows the ticks, sorted by party, and streams deliveries as protobuf;
  //    the party acknowledges by delivery id.
  const feed = new PartyFeed({ ledger, log: silentLog })
  await feed.start()
  const stored = (await feed.lastOf(party.id, 1))!
  await feed.close()
  const writer = new ProtobufWriter()
  forEachEnvelope(stored.data, 0, (envelopeAt) =>
    appendDelivery(writer, stored.sequence * 4096, stored.data, envelopeAt),
  )
  const [delivered] = ReceiveResponse.decode(writer.take()).deliveries
  const response = delivered?.content?.$case === 'response' ? delivered.content.value : undefined
  t.equal(response?.responseCode, 'I0')
  const [reading] = response?.body?.readings ?? []
  t.equal(reading?.obis, '1-0:1.8.0.255')
  t.ok(
    reading?.value?.kind?.$case === 'integer' && reading.value.kind.value > 0n,
    'an exact integer, in Wh',
  )
  t.equal(reading?.unit, 30)

  // 14. The ledger is the truth: views read it, and the next owner of a partition folds it into
  //    the same state.
  const again = emptyState()
  for (const frameView of [logged, loggedNext]) {
    forEachEnvelope(frameView, chainLinkBytes, (factAt) => {
      t.equal(readTarget(frameView, factAt), device)
      evolve(again, readFact(frameView, factAt))
    })
  }
  t.strictSame(again, state)
  t.equal(readOriginator(stored.data, 0), party.id)
  t.equal(readCounter(stored.data, 0), 7n)
})
