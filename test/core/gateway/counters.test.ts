/**
 * RequestCounters at both doors: one that is missing, one that the gateway assigns, and what a
 * refusal says of the others.
 */
import type { ServiceError } from '@grpc/grpc-js'
import t from 'tap'
import { busbarCode } from '../../../core/client/supplier-client.ts'
import { PartyAccount } from '../../../core/gateway/intake/party-account.ts'
import { AssignedCounters, RequestCounters } from '../../../core/base/request-counter.ts'
import { readCounter } from '../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
import { isSameSequence, sequenceIn } from '../../../core/envelope/sequenced-request.ts'
import { Answers, makeIntake, party, startMs, turnOver, wire } from './held-intake.ts'
import { accepted, fault, makeRig, meter, serveHost, supplier, type Rig } from './rig.ts'
import type { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'
import type { Acknowledgement } from '../../../proto/gen/busbar/v1/service_response.ts'

const id = { originator: supplier, target: meter }

async function post(
  rig: Rig,
  body: string,
  path = '/v1/service-requests',
): Promise<{ status: number; json: Record<string, unknown> }> {
  const headers = { 'x-busbar-party': supplier, 'content-type': 'application/json' }
  const response = await fetch(rig.httpUrl + path, { method: 'POST', headers, body })
  return { status: response.status, json: (await response.json()) as Record<string, unknown> }
}
const bodyOf = (counter: string, more = ''): string =>
  `{"requestId":{"originator":"${supplier}","target":"${meter}"${counter}},"serviceReferenceVariant":"4.1.1"${more}}`

const request = (fields: Partial<ServiceRequest> = {}): ServiceRequest => ({
  requestId: { ...id, counter: 0n },
  serviceReferenceVariant: '4.1.1',
  deadline: undefined,
  priority: 0,
  assignCounter: false,
  correlation: 0,
  commandVariant: 0,
  firstInSequence: false,
  precedingRequestId: undefined,
  executionTime: undefined,
  signature: undefined,
  body: undefined,
  ...fields,
})

t.test(
  'a counter that is missing or none is refused, at each door, and nothing is sent',
  async (t) => {
    const rig = await makeRig()
    t.teardown(() => rig.close())
    const frames = await serveHost(rig.bus, 'a', () => accepted)
    for (const [counter, detail] of [
      ['', /missing/],
      [',"counter":null', /missing/],
      [',"counter":0', /missing/],
      [',"counter":"0"', /missing/],
      [',"counter":"000"', /missing/],
      [',"counter":""', /missing/],
      [',"counter":-1', /negative/],
      [',"counter":"-1"', /negative/],
      [',"counter":1.5', /whole number/],
      [',"counter":1e300', /text/],
      [',"counter":1764480000000000001', /text, in quotation marks/],
      [',"counter":9007199254740993', /text/],
      [',"counter":"99999999999999999999"', /64 bits/],
      [',"counter":"1e9"', /decimal/],
      [',"counter":" 7"', /decimal/],
      [',"counter":true', /neither/],
      [',"counter":[7]', /neither/],
      [',"counter":{}', /neither/],
    ] as const) {
      const { status, json } = await post(rig, bodyOf(counter))
      t.same([status, json['code']], [400, 'REQUEST_ID_MALFORMED'], counter)
      t.match(json['detail'], detail, counter)
      t.match(json['message'], /assignCounter/)
    }
    const batch = `{"requests":[${bodyOf('')},${bodyOf(',"counter":"5"')}]}`
    const { status, json } = await post(rig, batch)
    t.equal(status, 200)
    t.match(json, {
      acknowledgements: [{ reason: 'REQUEST_ID_MALFORMED' }, { reason: 'REQUEST_ACCEPTED' }],
    })
    const sentBefore = frames.length
    const client = rig.client()
    t.match(await client.submit(request()), { reason: 'REQUEST_ID_MALFORMED', responseCode: 'E48' })
    t.match(
      await client.submit(request({ requestId: { ...id, counter: 7n }, assignCounter: true })),
      {
        reason: 'REQUEST_ID_MALFORMED',
      },
    )
    t.match(await client.submitBatch([request(), request()]), [
      { reason: 'REQUEST_ID_MALFORMED' },
      { reason: 'REQUEST_ID_MALFORMED' },
    ])
    t.equal(busbarCode(await fault(client.status({ ...id, counter: 0n }))), 'REQUEST_ID_MALFORMED')
    for (const counter of [2n ** 63n, 2n ** 64n - 1n]) {
      t.match(await client.submit(request({ requestId: { ...id, counter } })), {
        reason: 'REQUEST_COUNTER_TOO_HIGH',
        responseCode: 'E49',
      })
      const answer = await post(rig, bodyOf(`,"counter":"${counter}"`))
      t.match([answer.status, answer.json['code']], [400, 'REQUEST_COUNTER_TOO_HIGH'])
    }
    t.equal(frames.length, sentBefore, 'nothing of it has reached a host')
  },
)

t.test('the gateway assigns a counter and returns it, at each door', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => accepted)
  const client = rig.client()
  const asked = request({ assignCounter: true })
  const given: bigint[] = []
  const first = await client.submit({ ...asked, correlation: 4_000_000_000 })
  t.match(first, { reason: 'REQUEST_ACCEPTED', correlation: 4_000_000_000, requestId: id })
  given.push(first.requestId!.counter)
  const nowNs = BigInt(Date.now()) * 1_000_000n
  t.ok(given[0]! > nowNs - 60_000_000_000n && given[0]! < nowNs + 60_000_000_000n, 'about now')
  for (const { requestId } of await client.submitBatch([asked, asked, asked]))
    given.push(requestId!.counter)
  const acknowledged: Acknowledgement[] = []
  const stream = client.submitStream((list) => acknowledged.push(...list))
  stream.send(Array.from({ length: 50 }, (_, index) => ({ ...asked, correlation: index + 1 })))
  stream.send([request({ correlation: 99 })])
  await stream.end()
  t.same(
    acknowledged.map(({ correlation }) => correlation).sort((a, b) => a - b),
    [...Array.from({ length: 50 }, (_, index) => index + 1), 99],
  )
  t.equal(
    acknowledged.find(({ correlation }) => correlation === 99)?.reason,
    'REQUEST_ID_MALFORMED',
  )
  acknowledged.sort((a, b) => a.correlation - b.correlation)
  for (const { requestId, reason } of acknowledged)
    if (reason === 'REQUEST_ACCEPTED') given.push(requestId!.counter)
  for (const spelling of ['assignCounter', 'assign_counter']) {
    const { status, json } = await post(rig, bodyOf('', `,"${spelling}":true,"correlation":7`))
    t.equal(status, 202)
    t.match(json, { correlation: 7 })
    given.push(BigInt((json['requestId'] as { counter: string }).counter))
  }
  t.equal(new Set(given).size, given.length, 'each once')
  t.strictSame(
    given,
    [...given].sort((a, b) => (a < b ? -1 : 1)),
    'rising',
  )
})

t.test('a command variant that does not fit is rejected at both doors', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const code = 'REQUEST_COMMAND_VARIANT_UNFIT'
  for (const spelling of ['commandVariant', 'command_variant']) {
    const { status, json } = await post(rig, bodyOf(',"counter":"1"', `,"${spelling}":5`))
    t.equal(status, 400)
    t.match(json, { code, violations: [{ field: 'commandVariant' }] })
  }
  const client = rig.client()
  const asked = request({ requestId: { ...id, counter: 1n }, commandVariant: 5 })
  t.match(await client.submit(asked), { reason: code, responseCode: 'E12' })
})

t.test('a place in a sequence comes through both doors', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const frames = await serveHost(rig.bus, 'a', () => accepted)
  const before = `{"originator":"${supplier}","target":"${meter}","counter":"1"}`
  const forms = [
    [',"counter":"1"', ',"firstInSequence":true'],
    [',"counter":"2"', `,"precedingRequestId":${before}`],
    [',"counter":"3"', `,"preceding_request_id":${before}`],
  ] as const
  for (const [counter, more] of forms) t.equal((await post(rig, bodyOf(counter, more))).status, 202)
  const precedingRequestId = { ...id, counter: 1n }
  const asked = request({ requestId: { ...id, counter: 4n }, precedingRequestId })
  t.match(await rig.client().submit(asked), { reason: 'REQUEST_ACCEPTED' })
  const named = frames.map((frame) => sequenceIn(frame, 0))
  t.match(named[0], { isFirst: true, preceding: undefined })
  for (const one of named.slice(1)) t.ok(isSameSequence(one, named[3]) && one?.preceding)
  const wrong = before.replace('"1"', '-1')
  const { status, json } = await post(
    rig,
    bodyOf(',"counter":"5"', `,"precedingRequestId":${wrong}`),
  )
  t.equal(status, 400)
  const violations = [{ field: 'precedingRequestId.counter' }]
  t.match(json, { code: 'REQUEST_ID_MALFORMED', violations })
  const time = ',"executionTime":"2099-12-24T06:00:00.5Z"'
  const later = await post(rig, bodyOf(',"counter":"6"', time))
  t.match(later.json, { code: 'EXECUTION_TIME_FAR' }, 'a time ahead')
  const none = await post(rig, bodyOf(',"counter":"6"', ',"precedingRequestId":{}'))
  t.equal(none.status, 400)
  t.match(none.json, { code: 'REQUEST_ID_MALFORMED' })
})

t.test('a refusal for lack of an owner names the counter that was assigned', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  await serveHost(rig.bus, 'a', () => ({ outcome: 'BROKER_LEDGER_UNAVAILABLE', retryMs: 100 }))
  const error = await fault(rig.client().submit(request({ assignCounter: true })))
  t.equal(busbarCode(error), 'BROKER_LEDGER_UNAVAILABLE')
  const { metadata } = error as unknown as ServiceError
  t.match(String(metadata.get('busbar-counter')[0]), /^\d{19}$/)
  const { json } = await post(rig, bodyOf('', ',"assignCounter":true'))
  t.match((json['requestId'] as { counter: string }).counter, /^\d{19}$/)
})

t.test('E49 says the highest counter and the floor, at each door', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const bounds = { highest: 1_800_000_000_000_000_001n, floor: 77n }
  await serveHost(rig.bus, 'a', () => ({ outcome: 'REQUEST_COUNTER_STALE', bounds }))
  const client = rig.client()
  const asked = request({ requestId: { ...id, counter: 5n } })
  const said = { highestCounter: bounds.highest, counterFloor: 77n, responseCode: 'E49' }
  const acknowledgement = await client.submit(asked)
  t.match(acknowledgement, said)
  t.match(acknowledgement.message, /highest counter 1800000000000000001, floor 77/)
  t.match(await client.submitBatch([asked]), [said])
  const texts = { highestCounter: '1800000000000000001', counterFloor: '77' }
  const { status, json } = await post(rig, bodyOf(',"counter":"5"'))
  t.equal(status, 409)
  t.match(json, { ...texts, code: 'REQUEST_COUNTER_STALE', detail: /highest counter 18.*floor 77/ })
  const batch = await post(rig, `{"requests":[${bodyOf(',"counter":"5"')}]}`)
  t.match(batch.json, { acknowledgements: [{ ...texts, message: /floor 77/ }] })
})

t.test('a counter that was assigned and is taken, or below the floor, is replaced', async (t) => {
  const { intake, bus, account, answers } = makeIntake()
  const view = wire({ requestId: { ...id, counter: 0n }, assignCounter: true, correlation: 3 })
  intake.submit(account, view, 0, view.length, answers, 1)
  await turnOver()
  const counters: bigint[] = []
  const note = (frame: Buffer): void =>
    forEachEnvelope(frame, 0, (at) => void counters.push(readCounter(frame, at)))
  // The clock here lags by a day: this host has counters of the party from the future.
  const highest = BigInt(startMs + 86_400_000) * 1_000_000n
  note(bus.sent[0]!.frame)
  bus.sent[0]!.answer(() => ({
    outcome: 'REQUEST_COUNTER_STALE',
    bounds: { highest, floor: highest },
  }))
  await bus.until(2)
  note(bus.sent[1]!.frame)
  t.ok(counters[1]! > highest)
  bus.sent[1]!.answer(() => ({ outcome: 'REQUEST_COUNTER_REUSED', bounds: { highest, floor: 1n } }))
  await bus.until(3)
  note(bus.sent[2]!.frame)
  t.ok(counters[2]! > counters[1]!)
  bus.sent[2]!.answer(() => ({ outcome: 'REQUEST_ACCEPTED' }))
  await answers.until(1)
  t.equal(answers.codes.get(1), 'REQUEST_ACCEPTED')
  // One that the party gave is never replaced.
  const own = wire({ requestId: { ...id, counter: 9n } })
  const other = new Answers()
  intake.submit(account, own, 0, own.length, other, 2)
  await bus.until(4)
  bus.sent[3]!.answer(() => ({ outcome: 'REQUEST_COUNTER_STALE', bounds: { highest, floor: 9n } }))
  await other.until(1)
  t.equal(other.codes.get(2), 'REQUEST_COUNTER_STALE')
})

t.test('counters rise whatever the clock does, and two gateways never give the same', async (t) => {
  let now = 1_800_000_000_000
  const own = new RequestCounters(() => now)
  const list = [own.next(), own.next()]
  now -= 5_000
  list.push(own.next())
  now += 60_000.5
  list.push(own.next())
  t.strictSame(
    list,
    [...list].sort((a, b) => (a < b ? -1 : 1)),
  )
  t.equal(new Set(list).size, list.length)
  t.equal(list[0], 1_800_000_000_000_000_000n)
  t.equal(list[3], 1_800_000_055_000_000_000n)
  const [a, b] = [new AssignedCounters(1), new AssignedCounters(2)]
  const seen = new Set<bigint>()
  for (let i = 0; i < 5_000; i++) for (const one of [a, b]) seen.add(one.next(now - i))
  t.equal(seen.size, 10_000)
  t.ok(new PartyAccount(party, 1).assigned.next(now) < 2n ** 63n)
})
