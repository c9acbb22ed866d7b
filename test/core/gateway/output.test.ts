/**
 * The output gateway over real gRPC, on a simulated ledger: order, credit, resuming, two receivers,
 * receivers that do not read.
 */
import { connect, constants } from 'node:http2'
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js'
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { busbarCode } from '../../../core/client/supplier-client.ts'
import { DeliveryCursor } from '../../../core/gateway/delivery/delivery-cursor.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimCursorStore, SimLedger } from '../../../core/ports/sim/ledger.ts'
import { readSafeU64 } from '../../../core/envelope/envelope.ts'
import { asBuffer } from '../../../core/base/bytes.ts'
import { ReceiveRequest, type Delivery } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { ResponseBody } from '../../../proto/gen/busbar/v1/service_response.ts'
import {
  deliver,
  fault,
  gasSupplier,
  Inbox,
  makeRig,
  outSubject,
  responseFrame,
  supplier,
  turn,
  WatchedLedger,
} from './rig.ts'

const counterOf = (delivery: Delivery): number =>
  delivery.content?.$case === 'response' ? Number(delivery.content.value.requestId!.counter) : NaN
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

t.test(
  'deliveries come in order, whole, with rising ids; new ones as they are committed',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    const body = Buffer.from(
      ResponseBody.encode(
        ResponseBody.create({
          readings: [
            {
              obis: '1-0:1.8.0.255',
              value: { kind: { $case: 'integer', value: 12n } },
              scaler: -1,
              unit: 30,
            },
          ],
        }),
      ).finish(),
    )
    await deliver(rig.ledger, supplier, 1, 25, 10, body)
    await deliver(rig.ledger, gasSupplier, 1, 5)
    const inbox = new Inbox<Delivery>()
    const stream = rig.client().receive(1_000, (list) => inbox.put(...list))
    await inbox.until(25)
    await deliver(rig.ledger, supplier, 26, 30)
    const all = await inbox.until(30)
    t.same(all.map(counterOf), range(1, 30), 'and none of another party')
    for (let i = 1; i < all.length; i++) t.ok(all[i]!.deliveryId > all[i - 1]!.deliveryId)
    t.match(all[0]!.content, {
      $case: 'response',
      value: {
        serviceReferenceVariant: '4.1.1',
        responseCode: 'I0',
        acceptedAt: new Date(1_700_000_000_000),
        answeredAt: new Date(1_700_000_001_000),
        body: {
          readings: [{ value: { kind: { $case: 'integer', value: 12n } }, scaler: -1, unit: 30 }],
        },
      },
    })
    await stream.end()
  },
)

t.test(
  'never more than the credit is unacknowledged, for any credit, frame size and pace',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    let base = 0
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 80 }),
        async (credit, perFrame, total) => {
          const first = base + 1
          base += total
          await deliver(rig.ledger, supplier, first, base, perFrame)
          const seen: number[] = []
          let unacknowledged = 0
          let exceeded = false
          const done = new Promise<void>((resolve) => {
            const stream = rig.client().receive(credit, (list) => {
              unacknowledged += list.length
              exceeded ||= unacknowledged > credit
              seen.push(...list.map(counterOf))
              // Half of the credit at a time, and whatever comes last.
              if (unacknowledged >= Math.ceil(credit / 2) || seen.length === total) {
                unacknowledged = 0
                stream.acknowledge(list.at(-1)!.deliveryId)
              }
              if (seen.length === total) void stream.end().then(resolve)
            })
          })
          await done
          return !exceeded && seen.join() === range(first, base).join()
        },
      ),
      { numRuns: 15 },
    )
  },
)

t.test(
  'a receiver that comes back goes on behind its last acknowledgement, within a frame, anywhere',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    await deliver(rig.ledger, supplier, 1, 30)
    const first = new Inbox<Delivery>()
    const stream = rig.client().receive(1_000, (list) => first.put(...list))
    await first.until(30)
    stream.acknowledge(first.items[2]!.deliveryId)
    stream.acknowledge(first.items[13]!.deliveryId)
    stream.acknowledge(first.items[5]!.deliveryId)
    await stream.end()
    t.equal(
      readSafeU64(asBuffer((await rig.cursors.get(outSubject(supplier).slice(4)))!), 0),
      Number(first.items[13]!.deliveryId),
    )
    const other = await makeRig({ bus: rig.bus, ledger: rig.ledger, cursors: rig.cursors })
    t.teardown(() => other.close())
    const second = new Inbox<Delivery>()
    const again = other.client().receive(1_000, (list) => second.put(...list))
    await second.until(16)
    t.same(second.items.map(counterOf), range(15, 30))
    t.same(
      second.items.map((one) => one.deliveryId),
      first.items.slice(14).map((one) => one.deliveryId),
      'what comes twice bears the same id',
    )
    again.acknowledge(second.items[15]!.deliveryId)
    await again.end()
    const third = new Inbox<Delivery>()
    const last = rig.client().receive(10, (list) => third.put(...list))
    await deliver(rig.ledger, supplier, 31, 31)
    t.same((await third.until(1)).map(counterOf), [31])
    await last.end()
  },
)

t.test('the newest of two receivers wins, at one gateway and across two', async (t) => {
  const bus = new SimBus({ clock: systemClock })
  const one = await makeRig({ bus })
  const two = await makeRig({ bus, ledger: one.ledger, cursors: one.cursors })
  t.teardown(() => Promise.all([one.close(), two.close()]))
  await deliver(one.ledger, supplier, 1, 10)
  let before = one.client().receive(100, () => {})
  for (const rig of [one, two, one, two, two]) {
    const inbox = new Inbox<Delivery>()
    const next = rig.client().receive(100, (list) => inbox.put(...list))
    const error = (await fault(before.done)) as ServiceError
    t.equal(error.code, status.ABORTED)
    t.equal(busbarCode(error), 'DELIVERY_RECEIVER_SUPERSEDED')
    t.same((await inbox.until(10)).map(counterOf), range(1, 10))
    before = next
  }
  await before.end()
})

t.test(
  'wrong steps: credit out of range or twice, acknowledging what was never sent, garbage',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    await deliver(rig.ledger, supplier, 1, 3)
    const ended = (messages: Buffer[]): Promise<ServiceError> => {
      const client = new Client(rig.address, credentials.createInsecure())
      const metadata = new Metadata()
      metadata.set('x-busbar-party', supplier)
      const same = (bytes: Buffer): Buffer => bytes
      const call = client.makeBidiStreamRequest(
        '/busbar.v1.OutputGateway/Receive',
        same,
        same,
        metadata,
      )
      call.on('data', () => {})
      return new Promise<ServiceError>((resolve) => {
        call.on('error', resolve)
        for (const message of messages) call.write(message)
      }).finally(() => client.close())
    }
    const open = (credit: number): Buffer =>
      Buffer.from(
        ReceiveRequest.encode({
          step: { $case: 'openReceiver', value: { credit, onlyIfFree: false } },
        }).finish(),
      )
    const acknowledge = (deliveryId: bigint): Buffer =>
      Buffer.from(
        ReceiveRequest.encode({ step: { $case: 'acknowledge', value: { deliveryId } } }).finish(),
      )
    for (const messages of [
      [open(0)],
      [open(limits.receiverCreditMax + 1)],
      [open(5), open(5)],
      [acknowledge(1n)],
    ]) {
      t.equal(busbarCode(await ended(messages)), 'DELIVERY_CREDIT_INVALID')
    }
    t.equal(busbarCode(await ended([Buffer.from('ff', 'hex')])), 'REQUEST_WIRE_MALFORMED')
    t.equal(busbarCode(await ended([Buffer.alloc(0)])), 'REQUEST_WIRE_MALFORMED')
    for (const wrong of [4_099n, 2n * 4_096n, 2n ** 63n, 4_096n * 1_000_000n]) {
      const inbox = new Inbox<Delivery>()
      const stream = rig.client().receive(10, (list) => inbox.put(...list))
      await inbox.until(3)
      stream.acknowledge(wrong)
      const error = await fault(stream.done)
      t.equal(busbarCode(error), 'DELIVERY_ACKNOWLEDGEMENT_INVALID', String(wrong))
      t.equal(error.code, status.INVALID_ARGUMENT)
    }
  },
)

t.test(
  'a receiver that does not read is cut off; nobody else waits, and it loses nothing',
  async (t) => {
    const clock = new SimClock(Date.now())
    const ledger = new WatchedLedger()
    const rig = await makeRig({ clock, ledger })
    t.teardown(async () => {
      const closed = rig.close()
      for (let i = 0; i < 20; i++) {
        clock.advanceBy(1_000)
        await turn()
      }
      await closed
    })
    const body = Buffer.alloc(200_000)
    await deliver(rig.ledger, supplier, 1, 60, 5, body)
    await deliver(rig.ledger, gasSupplier, 1, 500)
    // grpc-js reads ahead whatever its caller does; plain HTTP/2 stands still.
    const session = connect(`http://${rig.address}`)
    t.teardown(() => session.destroy())
    const request = session.request({
      ':method': 'POST',
      ':path': '/busbar.v1.OutputGateway/Receive',
      'content-type': 'application/grpc',
      te: 'trailers',
      'x-busbar-party': supplier,
    })
    const closed = new Promise<number>((resolve) =>
      request.on('close', () => resolve(request.rstCode ?? 0)),
    )
    request.on('error', () => {})
    const open = Buffer.from(
      ReceiveRequest.encode({
        step: { $case: 'openReceiver', value: { credit: 1_000, onlyIfFree: false } },
      }).finish(),
    )
    request.write(Buffer.concat([Buffer.from([0, 0, 0, 0, open.length]), open]))
    const others = new Inbox<Delivery>()
    const other = rig.client(gasSupplier).receive(1_000, (list) => others.put(...list))
    await others.until(500)
    t.same(
      others.items.map(counterOf),
      range(1, 500),
      'the other party has everything while the first one stalls',
    )
    t.equal(ledger.following, 2)
    let advancedMs = 0
    while (ledger.following === 2) {
      clock.advanceBy(500)
      advancedMs += 500
      for (let i = 0; i < 5; i++) await turn()
    }
    t.ok(advancedMs >= limits.receiverStallMsMax, `cut after ${advancedMs} ms`)
    clock.advanceBy(limits.receiverResetMs)
    // It reads at last: what lay in the transport, then the reset; a status could not pass that.
    let bytes = 0
    request.on('data', (chunk: Buffer) => (bytes += chunk.length))
    t.equal(await closed, constants.NGHTTP2_ENHANCE_YOUR_CALM)
    t.ok(bytes < 1_000_000, `${bytes} of 12,000,000 octets were on their way`)
    other.acknowledge(others.items[499]!.deliveryId)
    const inbox = new Inbox<Delivery>()
    const again = rig.client().receive(1_000, (list) => inbox.put(...list))
    await inbox.until(60)
    t.same(inbox.items.map(counterOf), range(1, 60))
    again.cancel()
    other.cancel()
  },
)

t.test('a stalled receiver that reads again before the reset is told why', async (t) => {
  const clock = new SimClock(Date.now())
  const ledger = new WatchedLedger()
  const rig = await makeRig({ clock, ledger })
  await deliver(rig.ledger, supplier, 1, 60, 5, Buffer.alloc(200_000))
  const session = connect(`http://${rig.address}`)
  t.teardown(async () => {
    session.destroy()
    const closed = rig.close()
    for (let i = 0; i < 20; i++) {
      clock.advanceBy(1_000)
      await turn()
    }
    await closed
  })
  const request = session.request({
    ':method': 'POST',
    ':path': '/busbar.v1.OutputGateway/Receive',
    'content-type': 'application/grpc',
    te: 'trailers',
    'x-busbar-party': supplier,
  })
  request.on('error', () => {})
  const trailers = new Promise<Record<string, unknown>>((resolve) =>
    request.on('trailers', (headers) => resolve(headers)),
  )
  const open = Buffer.from(
    ReceiveRequest.encode({
      step: { $case: 'openReceiver', value: { credit: 1_000, onlyIfFree: false } },
    }).finish(),
  )
  request.write(Buffer.concat([Buffer.from([0, 0, 0, 0, open.length]), open]))
  while (ledger.following === 0) await turn()
  while (ledger.following === 1) {
    clock.advanceBy(500)
    for (let i = 0; i < 5; i++) await turn()
  }
  request.resume()
  t.equal((await trailers)['busbar-code'], 'DELIVERY_RECEIVER_STALLED')
})

t.test('a receiver without credit left is not stalled, however long it takes', async (t) => {
  const clock = new SimClock(Date.now())
  const rig = await makeRig({ clock })
  await deliver(rig.ledger, supplier, 1, 20)
  const inbox = new Inbox<Delivery>()
  const stream = rig.client().receive(7, (list) => inbox.put(...list))
  await inbox.until(7)
  clock.advanceBy(limits.receiverStallMsMax * 10)
  for (let i = 0; i < 50; i++) await turn()
  t.equal(inbox.items.length, 7)
  stream.acknowledge(inbox.items[6]!.deliveryId)
  await inbox.until(14)
  t.same(inbox.items.map(counterOf), range(1, 14))
  await stream.end()
  const closed = rig.close()
  for (let i = 0; i < 20; i++) {
    clock.advanceBy(1_000)
    await turn()
  }
  await closed
})

t.test('a damaged frame is passed over; what is behind it comes', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await deliver(rig.ledger, supplier, 1, 2)
  const damaged = Buffer.concat([responseFrame(supplier, [3n]), Buffer.from('nonsense')])
  await rig.ledger.commit([{ subject: outSubject(supplier), data: damaged }])
  await deliver(rig.ledger, supplier, 4, 5)
  const inbox = new Inbox<Delivery>()
  const stream = rig.client().receive(100, (list) => inbox.put(...list))
  await inbox.until(5)
  t.same(inbox.items.map(counterOf), range(1, 5))
  stream.acknowledge(inbox.items[4]!.deliveryId)
  await stream.end()
})

t.test(
  'a cursor: one write at a time, the last value wins, a store that fails is tried again',
  async (t) => {
    const clock = new SimClock(0)
    const writes: number[] = []
    let open = 0
    let most = 0
    let isDown = false
    const store = new SimCursorStore()
    const counting = {
      get: (name: string) => store.get(name),
      async put(name: string, value: Uint8Array) {
        most = Math.max(most, ++open)
        await turn()
        open--
        if (isDown) throw new Error('down')
        writes.push(readSafeU64(asBuffer(value), 0))
        await store.put(name, value)
      },
    }
    const cursor = new DeliveryCursor(counting, 'X', clock, silentLog)
    for (let id = 1; id <= 100; id++) cursor.acknowledge(id)
    clock.advanceBy(limits.cursorWriteMs)
    cursor.acknowledge(150)
    t.ok(await cursor.settle())
    t.same(writes, [100, 150])
    t.equal(most, 1)
    isDown = true
    cursor.acknowledge(160)
    t.notOk(await cursor.settle())
    isDown = false
    t.ok(await cursor.settle())
    t.equal(writes.at(-1), 160)
    const fresh = new DeliveryCursor(counting, 'X', clock, silentLog)
    await fresh.load()
    t.equal(fresh.acknowledged, 160)
    fresh.acknowledge(5)
    t.equal(fresh.acknowledged, 160, 'never back')
  },
)

t.test('a ledger or cursor store that cannot be read: a named status', async (t) => {
  const cursors = new SimCursorStore()
  const rig = await makeRig({ cursors, ledger: new SimLedger() })
  t.teardown(() => rig.close())
  cursors.isDown = true
  const error = await fault(rig.client().receive(1, () => {}).done)
  t.equal(busbarCode(error), 'BROKER_LEDGER_UNAVAILABLE')
  t.equal(error.code, status.UNAVAILABLE)
})
