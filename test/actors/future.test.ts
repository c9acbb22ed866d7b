/** Requests for a later time at one device. */
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { cancellationMs, executionLateMsMax } from '../../core/access/future-dating.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { limits } from '../../core/base/limits.ts'
import { throughStore } from '../support/actor-trial.ts'
import { deviceKey } from '../support/envelopes.ts'
import { SequenceLife } from '../support/sequence-life.ts'

const hourMs = 3_600_000

/** A request with counter 1 that waits for its time, an hour ahead. */
function waiting(): { life: SequenceLife; executeAt: number } {
  const life = new SequenceLife()
  const executeAt = life.now + hourMs
  const deadline = executeAt + executionLateMsMax
  life.submit({ counter: 1, executeAt, deadline })
  return { life, executeAt }
}

t.test('it is carried out at its time, and not before; others are not held up', async (t) => {
  const { life } = waiting()
  t.equal(life.sent, undefined)
  t.equal(life.status(1), 7)
  life.submit({ counter: 2, deadline: life.now + 60_000 })
  t.equal(life.sent, 2, 'the next one goes first')
  life.answer()
  life.advance(hourMs - 1)
  t.equal(life.sent, undefined)
  life.advance(1)
  t.equal(life.sent, 1)
  life.answer()
  t.strictSame(life.responses, [
    [2, 'OK'],
    [1, 'OK'],
  ])
})

t.test('it is woken at its time, from memory and from the store', async (t) => {
  const { life, executeAt } = waiting()
  t.equal(deviceKind.nextWakeMs(life.trial.state, life.now), executeAt)
  t.equal(deviceKind.storedWakeMs(life.trial.state), executeAt)
  const stored = throughStore(deviceKind, life.trial.state)
  t.match(stored.open, [{ future: { executeAt, isWaiting: true } }])
})

for (const from of ['store', 'ledger'] as const)
  t.test(`a restart from the ${from} changes nothing, before and at its time`, async (t) => {
    const { life } = waiting()
    life.restart(from)
    t.equal(life.sent, undefined)
    life.advance(hourMs)
    t.equal(life.sent, 1)
    life.restart(from)
    t.equal(life.sent, 1, 'it is sent again')
    life.answer()
    t.strictSame(life.responses, [[1, 'OK']])
  })

t.test(
  'Busbar was stopped over its time: it is carried out afterwards, or ends with E30',
  async (t) => {
    const late = waiting().life
    late.now += hourMs + executionLateMsMax - 60_000
    late.restart('store')
    t.equal(late.sent, 1)
    const tooLate = waiting().life
    tooLate.now += hourMs + executionLateMsMax
    tooLate.restart('store')
    tooLate.advance(0)
    t.strictSame(tooLate.responses, [[1, 'REQUEST_EXPIRED']])
  },
)

t.test('a device that is away for a day: E30, not the outcome of the last attempt', async (t) => {
  const { life, executeAt } = waiting()
  life.advance(hourMs)
  for (let turn = 0; life.responses.length === 0 && turn < 10_000; turn++) {
    if (life.sent === undefined) life.advance(60_000)
    else life.answer('DEVICE_UNREACHABLE')
  }
  t.strictSame(life.responses, [[1, 'REQUEST_EXPIRED']])
  t.ok(life.now <= executeAt + executionLateMsMax)
})

t.test('the clock is set back: it waits for its time by the clock', async (t) => {
  const { life } = waiting()
  life.advance(hourMs - 1_000)
  life.advance(-10 * 60_000)
  t.equal(life.sent, undefined)
  life.advance(10 * 60_000)
  t.equal(life.sent, undefined)
  life.advance(1_000)
  t.equal(life.sent, 1)
})

t.test('what is refused', async (t) => {
  const { life, executeAt } = waiting()
  const past = { executeAt: life.now, deadline: life.now }
  t.equal(life.submit({ counter: 2, ...past }), 'EXECUTION_TIME_PAST', 'not the deadline')
  t.equal(life.submit({ counter: 1, executeAt }), 'REQUEST_ACCEPTED', 'a repeat')
  t.equal(life.submit({ counter: 1, executeAt: executeAt + 1 }), 'REQUEST_COUNTER_REUSED')
  t.equal(life.submit({ counter: 1 }), 'REQUEST_COUNTER_REUSED')
  life.trial.directory = { ...life.trial.directory, format: formatWithMeterPoints }
  t.equal(life.submit({ counter: 3, executeAt }), 'FORMAT_NOT_RAISED')
})

t.test('a device holds so many, and others have room beside them', async (t) => {
  const life = new SequenceLife()
  const executeAt = life.now + hourMs
  const deadline = executeAt + 1
  for (let counter = 1; counter <= limits.deviceFutureRequestsMax; counter++)
    t.equal(life.submit({ counter, executeAt, deadline }), 'REQUEST_ACCEPTED')
  const counter = limits.deviceFutureRequestsMax + 1
  t.equal(life.submit({ counter, executeAt, deadline }), 'DEVICE_QUEUE_FULL')
  t.equal(life.submit({ counter }), 'REQUEST_ACCEPTED')
})

t.test('Cancel by the RequestID', async (t) => {
  const { life } = waiting()
  t.equal(life.cancel(1), 'REQUEST_CANCELLED')
  t.strictSame(life.responses, [[1, 'REQUEST_CANCELLED']])
  life.advance(2 * hourMs)
  t.equal(life.sent, undefined)
})

t.test('the year 3000 cancels those of the same party and variant', async (t) => {
  const { life, executeAt } = waiting()
  const deadline = executeAt + 1
  const srv = '3.1'
  life.submit({ counter: 2, executeAt, deadline, srv })
  life.submit({ counter: 1, executeAt, deadline, originator: deviceKey(77) })
  t.equal(life.submit({ counter: 3, executeAt: cancellationMs }), 'REQUEST_ACCEPTED')
  t.strictSame(life.responses, [
    [1, 'REQUEST_CANCELLED'],
    [3, 'OK'],
  ])
  t.strictSame(life.open, [2, 1], 'another variant, another party')
  t.equal(life.submit({ counter: 3, executeAt: cancellationMs }), 'REQUEST_ACCEPTED', 'a repeat')
  t.equal(life.submit({ counter: 4, executeAt: cancellationMs }), 'FUTURE_REQUEST_NOT_FOUND')
  life.restart('ledger')
  t.strictSame(life.open, [2, 1])
})
