/**
 * Exchanges of a host: every one of a device has the same address object, and a fault in it ends as
 * an answer.
 */
import t from 'tap'
import { Exchanges } from '../../actors/device-effects/exchanges.ts'
import type { Send } from '../../actors/device/effects.ts'
import type { Answered, KeyStepAnswered } from '../../actors/device/messages.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorId } from '../../core/base/error-table.ts'
import { Lane } from '../../core/base/lane.ts'
import { parseSrv, type Srv } from '../../core/base/srv.ts'
import { SealingVault } from '../../core/crypto/key-vault-sealing.ts'
import { silentLog } from '../../core/ports/log.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import type { ExchangeResult, Wan } from '../../core/ports/wan.ts'
import { deviceKey, plainRecord, supplier } from '../support/envelopes.ts'
import { good, settle, World } from '../support/world.ts'

t.test('exchanges of a device are for one and the same address', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(2)
  const submit = async (index: number, counter: number): Promise<void> => {
    t.equal(await world.submit({ device: deviceKey(index), counter }), 'REQUEST_ACCEPTED')
    await settle()
  }
  const addressesOf = () => world.exchanges.map(({ address }) => address)
  for (const counter of [1, 2, 3]) await submit(0, counter)
  await submit(1, 1)
  const [first, second, third, other] = addressesOf()
  t.equal(first?.device, deviceKey(0), 'it says whose it is')
  t.equal(other?.device, deviceKey(1))
  t.ok(first === second && second === third, 'nothing is copied for an exchange')
  t.not(other, first)

  world.kill()
  await world.start()
  for (const counter of [4, 5]) await submit(0, counter)
  const [fourth, fifth] = addressesOf()
  t.equal(fourth?.device, deviceKey(0), 'read from the store or the ledger, too')
  t.equal(fourth, fifth)
})

const octets = (number: number): Buffer => Buffer.from([0, 0, 0, 0, 0, 0, 0, number])
const sendOf = (srv: Srv): Send => ({
  type: 'SEND',
  request: {
    originator: supplier,
    counter: readRequestCounter(octets(1)),
    lane: Lane.NORMAL,
    srv,
    bodyType: 0,
    contentHash: 0,
    acceptedAt: 1,
    deadline: 2,
    attempt: 0,
    nextAttemptAt: 0,
    lastOutcome: 0,
    bodyBytes: emptyBytes,
  },
  record: plainRecord,
  keys: undefined,
})

type Told = Array<Answered | KeyStepAnswered>
function over(exchange: Wan['exchange'], srv = parseSrv('4.1.1')!) {
  const wan: Wan = { exchange, close: () => Promise.resolve() }
  const keys = new SealingVault(() => [])
  const exchanges = new Exchanges({ wan, keys, clock: new SimClock(1), log: silentLog })
  const told: Told = []
  let freed = 0
  const start = (): void =>
    exchanges.start(
      deviceKey(0),
      sendOf(srv),
      (answered) => told.push(answered),
      () => freed++,
    )
  return { exchanges, told, start, freed: () => freed }
}

const failure: ExchangeResult = { ok: false, code: 'DEVICE_SILENT', detail: 'no answer' }

t.test('whatever becomes of an exchange, it is answered once, and later', async (t) => {
  const cases: Array<[string, Wan['exchange'], string, Srv?]> = [
    ['it fails', () => Promise.resolve(failure), 'DEVICE_SILENT'],
    [
      'the results do not fit',
      () => Promise.resolve({ ok: true, results: [] }),
      'DEVICE_ANSWER_INVALID',
    ],
    ['the port rejects', () => Promise.reject(new Error('a fault of ours')), 'DEVICE_ACTOR_PARKED'],
    [
      'the port throws',
      () => {
        throw new Error('a fault of ours')
      },
      'DEVICE_ACTOR_PARKED',
    ],
    [
      'nobody knows the variant',
      () => Promise.resolve(failure),
      'DEVICE_ACTOR_PARKED',
      0x00ff_ffff as Srv,
    ],
  ]
  for (const [name, exchange, code, srv] of cases) {
    const { exchanges, told, start } = over(exchange, srv)
    start()
    t.equal(told.length, 0, `${name}: not at once`)
    t.equal(exchanges.count, 1)
    await settle()
    t.match(told, [{ type: 'ANSWERED', outcome: errorId(code as 'OK') }], name)
    t.equal(exchanges.count, 0)
  }
})

t.test('one exchange of a device at a time', async (t) => {
  let asked = 0
  let answer = (_result: ExchangeResult): void => {}
  const { told, start, freed } = over(() => {
    asked++
    return new Promise((resolve) => (answer = resolve))
  })
  start()
  start()
  t.equal(asked, 1)
  answer(failure)
  await settle()
  t.equal(told.length, 1)
  t.equal(freed(), 0, 'the same request needs no place')
})
