/**
 * GetResponse over gRPC and HTTP: the response to one request by its RequestID, without a receiver,
 * without moving the cursor, with a code for each reason why there is none.
 */
import { once } from 'node:events'
import { constants } from 'node:http2'
import t from 'tap'
import { readEui64 } from '../../../../core/base/eui64.ts'
import type { ErrorCode } from '../../../../core/base/error-table.ts'
import { limits } from '../../../../core/base/limits.ts'
import { partyFramesOf, writeTickMessage } from '../../../../core/envelope/tick-message.ts'
import { deliveryIdOf } from '../../../../core/envelope/delivery-id.ts'
import { busbarCode } from '../../../../core/client/supplier-client.ts'
import { ResponseFinder } from '../../../../core/ledger/response-finder.ts'
import { tickSubject } from '../../../../core/ports/ledger.ts'
import type { ResponseLookup } from '../../../../core/ports/responses.ts'
import { SimClock } from '../../../../core/ports/sim/clock.ts'
import { SimBus } from '../../../../core/ports/sim/bus.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { SimCursorStore, SimLedger } from '../../../../core/ports/sim/ledger.ts'
import {
  GetResponseRequest,
  type Delivery,
} from '../../../../proto/gen/busbar/v1/output_gateway.ts'
import { framed, RawConnection } from '../../../support/raw-http2.ts'
import {
  fault,
  gasSupplier,
  Inbox,
  makeRig,
  meter,
  octetsOf,
  responseFrame,
  serveHost,
  supplier,
  turn,
  type HostAnswer,
  type Rig,
} from '../rig.ts'

const idOf = (counter: number) => ({
  originator: supplier,
  target: meter,
  counter: BigInt(counter),
})
const pathOf = (counter: number | string, party = supplier): string =>
  `/v1/service-requests/${party}:${meter}:${counter}/response`

const open: HostAnswer = { outcome: 'OK', status: { state: 2, acceptedMs: 1, endedMs: 0 } }
const ended: HostAnswer = { outcome: 'OK', status: { state: 3, acceptedMs: 1, endedMs: 2 } }
const unknown: HostAnswer = { outcome: 'REQUEST_NOT_FOUND' }

/** A gateway over a ledger of ticks, with a host that says `standing` about each request. */
async function rigOf(
  standing: { is: HostAnswer },
  ledger = new SimLedger(),
  options: Parameters<typeof makeRig>[0] = {},
) {
  const finder = new ResponseFinder(ledger)
  finder.add(ledger.lastSequence, new Map())
  const rig = await makeRig({ ledger, responses: finder, ...options })
  const asked = await serveHost(rig.bus, 'a', () => standing.is)
  return { rig, finder, ledger, asked }
}

async function write(ledger: SimLedger, counters: number[], party = supplier): Promise<number> {
  const frame = responseFrame(party, counters.map(BigInt))
  const data = writeTickMessage([], [{ party: readEui64(octetsOf(party)), frame }])
  const done = (await ledger.commit([{ subject: tickSubject('a'), data }])) as {
    firstSequence: number
  }
  return done.firstSequence
}

async function tick(finder: ResponseFinder, ledger: SimLedger, counters: number[]) {
  const sequence = await write(ledger, counters)
  finder.add(sequence, partyFramesOf((await ledger.at(sequence))!.data))
  return sequence
}

const get = async (rig: Rig, path: string, method = 'GET', party = supplier) => {
  const response = await fetch(rig.httpUrl + path, {
    method,
    headers: { 'x-busbar-party': party },
  })
  const text = await response.text()
  return {
    status: response.status,
    json: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
    headers: response.headers,
  }
}

const codeOf = async (promise: Promise<unknown>): Promise<string | undefined> =>
  busbarCode(await fault(promise))

t.test('a response is read as often as wanted, before and after it is received', async (t) => {
  const { rig, finder, ledger, asked } = await rigOf({ is: ended })
  t.teardown(() => rig.close())
  const sequence = await tick(finder, ledger, [1, 2])
  const client = rig.client()
  for (let i = 0; i < 2; i++) {
    const delivery = await client.response(idOf(2))
    t.equal(delivery.deliveryId, BigInt(deliveryIdOf(sequence, 1)))
    t.match(delivery.content, {
      $case: 'response',
      value: { requestId: { counter: 2n }, responseCode: 'I0', attempts: 1 },
    })
  }
  t.match(await get(rig, pathOf(2)), {
    status: 200,
    json: {
      delivery: {
        deliveryId: String(deliveryIdOf(sequence, 1)),
        response: { requestId: { counter: '2' }, responseCode: 'I0' },
      },
    },
  })
  t.same(await rig.cursors.names(), [], 'the cursor is not moved')
  t.equal(asked.length, 1, 'the host is asked only before the index is there')
  await rig.cursors.put(octetsOf(supplier).toString('hex').toUpperCase(), Buffer.alloc(8, 1))
  t.ok(await client.response(idOf(2)), 'an acknowledged delivery can be read, too')
})

t.test('after a restart, and at another gateway, the past is found in the ledger', async (t) => {
  const ledger = new SimLedger()
  await write(ledger, [1])
  await write(ledger, [2, 3])
  const bus = new SimBus({ clock: systemClock })
  const one = await rigOf({ is: ended }, ledger, { bus })
  t.teardown(() => one.rig.close())
  t.equal((await one.rig.client().response(idOf(1))).deliveryId, BigInt(deliveryIdOf(1, 0)))
  const other = await makeRig({ ledger, bus, responses: one.finder })
  t.teardown(() => other.close())
  t.equal((await other.client().response(idOf(3))).deliveryId, BigInt(deliveryIdOf(2, 1)))
  t.match(await get(other, pathOf(1)), { status: 200 })
})

t.test('a device that has forgotten the request does not hide its response', async (t) => {
  const ledger = new SimLedger()
  await write(ledger, [1])
  for (const is of [unknown, { outcome: 'DEVICE_UNKNOWN' } as const]) {
    const { rig } = await rigOf({ is }, ledger)
    t.ok(await rig.client().response(idOf(1)))
    await rig.close()
  }
})

t.test('why there is no response: a code, and a wait where waiting helps', async (t) => {
  const standing = { is: open }
  const { rig } = await rigOf(standing)
  t.teardown(() => rig.close())
  const client = rig.client()
  t.equal(await codeOf(client.response(idOf(1))), 'RESPONSE_NOT_READY')
  const notReady = await get(rig, pathOf(1))
  t.match(notReady, { status: 409, json: { code: 'RESPONSE_NOT_READY', responseCode: 'E49' } })
  t.equal(notReady.headers.get('retry-after'), '1')
  t.type(notReady.json['retryAfterMs'], 'number')
  standing.is = ended
  t.equal(await codeOf(client.response(idOf(1))), 'RESPONSE_NOT_KEPT')
  t.match(await get(rig, pathOf(1)), { status: 410, json: { code: 'RESPONSE_NOT_KEPT' } })
  standing.is = unknown
  t.equal(await codeOf(client.response(idOf(1))), 'REQUEST_NOT_FOUND')
  t.match(await get(rig, pathOf(1)), { status: 404, json: { code: 'REQUEST_NOT_FOUND' } })
  standing.is = { outcome: 'DEVICE_UNKNOWN' }
  t.match(await get(rig, pathOf(1)), { status: 404, json: { code: 'DEVICE_UNKNOWN' } })
})

t.test('a wait ends with the response, or when it is over', async (t) => {
  const { rig, finder, ledger, asked } = await rigOf({ is: open })
  t.teardown(() => rig.close())
  const client = rig.client()
  const overGrpc = client.response(idOf(1), { waitMs: 30_000 })
  const overHttp = get(rig, `${pathOf(1)}?waitMs=30000`)
  while (asked.length < 2) await turn()
  await tick(finder, ledger, [1])
  t.equal((await overGrpc).content?.$case, 'response')
  t.match(await overHttp, { status: 200, json: { delivery: { response: {} } } })
  t.equal(await codeOf(client.response(idOf(2), { waitMs: 1 })), 'RESPONSE_NOT_READY')
  t.match(await get(rig, `${pathOf(2)}?waitMs=1`), { status: 409 })
})

t.test('waits end when the gateway closes', async (t) => {
  const { rig, asked } = await rigOf({ is: open })
  const waiting = codeOf(rig.client().response(idOf(1), { waitMs: 30_000 }))
  while (asked.length < 1) await turn()
  await turn()
  await rig.gateway.close(100)
  t.match(await waiting, /RESPONSE_NOT_READY|undefined/)
  await rig.close()
})

t.test('only the party of the request reads its response', async (t) => {
  const { rig, finder, ledger } = await rigOf({ is: ended })
  t.teardown(() => rig.close())
  await tick(finder, ledger, [1])
  t.equal(
    await codeOf(rig.client(gasSupplier).response(idOf(1))),
    'PARTY_ORIGINATOR_MISMATCH',
    'over gRPC',
  )
  t.match(await get(rig, pathOf(1), 'GET', gasSupplier), {
    status: 403,
    json: { code: 'PARTY_ORIGINATOR_MISMATCH' },
  })
  t.equal(
    await codeOf(rig.client(gasSupplier).response({ ...idOf(1), originator: gasSupplier })),
    'RESPONSE_NOT_KEPT',
    'nor under its own name',
  )
})

t.test('what is not a RequestID, or not a wait, is rejected', async (t) => {
  const { rig } = await rigOf({ is: ended })
  t.teardown(() => rig.close())
  const client = rig.client()
  t.equal(await codeOf(client.response({ ...idOf(1), target: 'x' })), 'REQUEST_ID_MALFORMED')
  const malformed: [string, ErrorCode][] = [
    ['/v1/service-requests/x/response', 'REQUEST_ID_MALFORMED'],
    [pathOf('99999999999999999999'), 'REQUEST_ID_MALFORMED'],
    [`${pathOf(1)}?waitMs=soon`, 'REQUEST_JSON_MALFORMED'],
    [`${pathOf(1)}?wait=1`, 'REQUEST_JSON_MALFORMED'],
  ]
  for (const [path, code] of malformed)
    t.match(await get(rig, path), { status: 400, json: { code } }, path)
  t.match(await get(rig, `${pathOf(1)}?waitMs=999999`), { status: 410 }, 'longer waits are cut')
})

t.test('neither GetResponse nor HEAD takes the seat of a receiver', async (t) => {
  const { rig, finder, ledger } = await rigOf({ is: ended })
  t.teardown(() => rig.close())
  const inbox = new Inbox<Delivery>()
  const stream = rig.client().receive(10, (list) => inbox.put(...list))
  let isEnded = false
  stream.done.then(
    () => (isEnded = true),
    () => (isEnded = true),
  )
  await turn()
  await tick(finder, ledger, [1])
  await rig.client().response(idOf(1))
  for (const [path, status] of [
    ['/v1/deliveries', 405],
    ['/v1/deliveries?waitMs=1', 405],
    [pathOf(1), 200],
    ['/v1/deliveries', 405],
  ] as const)
    t.equal((await get(rig, path, 'HEAD')).status, status, `HEAD ${path}`)
  for (let i = 0; i < 20; i++) await turn()
  t.notOk(isEnded, 'the receiver goes on')
  await stream.end()
})

t.test('a receiver that opens only if there is none does not end another', async (t) => {
  const bus = new SimBus({ clock: systemClock })
  const ledger = new SimLedger()
  const cursors = new SimCursorStore()
  const rigs = [await makeRig({ bus, ledger, cursors }), await makeRig({ bus, ledger, cursors })]
  t.teardown(() => Promise.all(rigs.map((rig) => rig.close())))
  const [here, there] = rigs as [Rig, Rig]
  const opened = (rig: Rig, onlyIfFree: boolean) =>
    rig.client().receive(10, () => {}, { onlyIfFree })

  const cautious = opened(here, true)
  const refused = opened(there, true)
  t.equal(await codeOf(refused.done), 'DELIVERY_RECEIVER_PRESENT', 'at another gateway')
  t.equal(await codeOf(opened(here, true).done), 'DELIVERY_RECEIVER_PRESENT', 'at the same one')
  t.match(await get(there, '/v1/deliveries?onlyIfFree=true'), {
    status: 409,
    json: { code: 'DELIVERY_RECEIVER_PRESENT' },
  })
  const newer = opened(there, false)
  t.equal(
    await codeOf(cautious.done),
    'DELIVERY_RECEIVER_SUPERSEDED',
    'without it, the newest wins',
  )
  await newer.end()
  t.match(await get(here, '/v1/deliveries?onlyIfFree=true'), { status: 200 }, 'the seat is free')
  t.match(await get(here, '/v1/deliveries?onlyIfFree=true'), { status: 200 }, 'and stays free')
})

t.test('a party that polls counts as receiving between its polls', async (t) => {
  const bus = new SimBus({ clock: systemClock })
  const rigs = [await makeRig({ bus }), await makeRig({ bus })]
  t.teardown(() => Promise.all(rigs.map((rig) => rig.close())))
  const [here, there] = rigs as [Rig, Rig]
  t.match(await get(here, '/v1/deliveries'), { status: 200 })
  for (const rig of [here, there])
    t.equal(
      await codeOf(rig.client().receive(10, () => {}, { onlyIfFree: true }).done),
      'DELIVERY_RECEIVER_PRESENT',
    )
  t.match(await get(here, '/v1/deliveries'), { status: 200 }, 'its own next poll is served')
  const stream = there.client().receive(10, () => {})
  for (let i = 0; i < 20; i++) await turn()
  await stream.end()
  t.match(await get(here, '/v1/deliveries'), { status: 200 }, 'any other receiver may come between')
})

t.test('a long search goes on without its caller', async (t) => {
  const clock = new SimClock(0)
  let isSearched = false
  const slow: ResponseLookup = {
    watch: () => ({ found: new Promise(() => {}), close() {} }),
    find: () => Promise.resolve(undefined),
    search: () => {
      isSearched = true
      return new Promise(() => {})
    },
  }
  const rig = await makeRig({ clock, responses: slow })
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => unknown)
  const answer = get(rig, pathOf(1))
  while (!isSearched) await turn()
  await turn()
  clock.advanceBy(limits.responseSearchMsMax)
  t.match(await answer, { status: 503, json: { code: 'RESPONSE_SEARCH_RUNNING' } })
  const full: ResponseLookup = { ...slow, watch: () => undefined }
  const busy = await makeRig({ responses: full })
  t.teardown(() => busy.close())
  t.match(await get(busy, pathOf(1)), { status: 429, json: { code: 'BROKER_GATEWAY_BUSY' } })
})

t.test('a RequestID that was never accepted costs no read of the ledger', async (t) => {
  let reads = 0
  class CountedLedger extends SimLedger {
    override read(...rest: Parameters<SimLedger['read']>): ReturnType<SimLedger['read']> {
      reads++
      return super.read(...rest)
    }
  }
  const ledger = new CountedLedger()
  await write(ledger, [1])
  const standing: { is: HostAnswer } = {
    is: { outcome: 'REQUEST_NOT_FOUND', isNeverAccepted: true },
  }
  const { rig } = await rigOf(standing, ledger)
  t.teardown(() => rig.close())
  for (let i = 100; i < 120; i++)
    t.equal(await codeOf(rig.client().response(idOf(i))), 'REQUEST_NOT_FOUND')
  t.equal(reads, 0)
  standing.is = unknown
  t.equal(await codeOf(rig.client().response(idOf(100))), 'REQUEST_NOT_FOUND')
  t.equal(reads, 1, 'where the device does not know, the ledger is read')
})

t.test('a response that its caller does not read is given up after a time', async (t) => {
  const clock = new SimClock()
  const { rig, finder, ledger } = await rigOf({ is: ended }, new SimLedger(), { clock })
  t.teardown(() => rig.close())
  await tick(finder, ledger, [1])
  // It lets the gateway send headers, and not one octet of a message.
  const connection = await new RawConnection(rig.address, { initialWindowSize: 0 }).opened()
  t.teardown(() => connection.close())
  const call = connection.call('OutputGateway/GetResponse')
  let isOver = false
  void call.answer.then(() => (isOver = true))
  await call.send(framed(GetResponseRequest.encode({ requestId: idOf(1), waitMs: 0 }).finish()))
  call.stream.end()
  await once(call.stream, 'response')
  t.ok(rig.gateway.bytesInFlight > 0, 'its octets count')
  clock.advanceBy(limits.callAnswerMsMax - 2 * limits.callLookMs)
  for (let i = 0; i < 10; i++) await turn()
  t.notOk(isOver)
  while (!isOver) {
    clock.advanceBy(limits.callLookMs)
    await turn()
  }
  t.equal((await call.answer).reset, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  while (rig.gateway.bytesInFlight > 0) await turn()
})
