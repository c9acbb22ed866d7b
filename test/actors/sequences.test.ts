/**
 * Sequences at a device: a request starts when its predecessor has succeeded, and ends with a code
 * of its own otherwise; whatever happens, each has exactly one response.
 */
import fc from 'fast-check'
import t from 'tap'
import type { ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { deviceKey, supplier } from '../support/envelopes.ts'
import { SequenceLife } from '../support/sequence-life.ts'

const ok = 'REQUEST_ACCEPTED'
const other = `${supplier.slice(0, 7)}\u0001` as Eui64

/** A life with the sequence 1, 2, 3 … `count`, of which the first is on its way. */
function chain(count: number, firstLifetimeMs = 600_000): SequenceLife {
  const life = new SequenceLife()
  const deadline = life.now + firstLifetimeMs
  t.equal(life.submit({ counter: 1, first: true, deadline }), ok)
  for (let counter = 2; counter <= count; counter++)
    t.equal(life.submit({ counter, after: counter - 1 }), ok)
  return life
}

t.test('each starts when the one before it has succeeded', async (t) => {
  const life = chain(3)
  t.equal(life.sent, 1)
  t.equal(life.status(2), 6, 'waits for its predecessor')
  t.equal(life.submit({ counter: 9, lane: Lane.BULK }), ok)
  t.equal(life.submit({ counter: 2, after: 1 }), ok, 'a repeat')
  t.equal(life.submit({ counter: 2 }), 'REQUEST_COUNTER_REUSED', 'another request')
  life.answer()
  t.equal(life.sent, 2, 'it has kept its place before later ones')
  t.equal(life.status(2), 2)
  life.answer()
  life.answer()
  t.equal(life.sent, 9)
  life.answer()
  t.strictSame(life.responses, [
    [1, 'OK'],
    [2, 'OK'],
    [3, 'OK'],
    [9, 'OK'],
  ])
  t.equal(life.alerts.length, 0)
  t.equal(life.submit({ counter: 4, after: 3 }), ok, 'behind one that has succeeded')
  t.equal(life.sent, 4, 'it starts at once')
  life.trial.try()
})

t.test('what waits holds up nothing of its lane', async (t) => {
  const life = new SequenceLife()
  life.submit({ counter: 1, first: true, lane: Lane.BULK })
  life.submit({ counter: 5 })
  life.submit({ counter: 2, after: 1, lane: Lane.URGENT })
  life.submit({ counter: 6, lane: Lane.URGENT })
  life.submit({ counter: 7, lane: Lane.BULK })
  t.equal(life.sent, 1)
  const order: (number | undefined)[] = []
  for (; life.sent !== undefined; life.answer()) order.push(life.sent)
  t.strictSame(order, [1, 2, 6, 5, 7], 'then it has the place that its acceptance gave it')
  const urgent = new SequenceLife()
  urgent.submit({ counter: 9 })
  urgent.submit({ counter: 1, first: true, lane: Lane.BULK })
  urgent.submit({ counter: 2, after: 1, lane: Lane.URGENT })
  urgent.answer()
  t.equal(urgent.sent, 1, 'a more urgent lane helps nobody before its predecessor')
})

const failures: [ErrorCode, ErrorCode, string][] = [
  ['DEVICE_REFUSED', 'SEQUENCE_PREDECESSOR_FAILED', 'N14'],
  ['DEVICE_SILENT', 'SEQUENCE_PREDECESSOR_LATE', 'N15'],
]
for (const [code, ended, alertCode] of failures)
  t.test(`the rest ends when one ends with ${code}`, async (t) => {
    const life = chain(3, 60_000)
    // Repeated until its deadline, as long as that may help.
    for (let attempt = 0; attempt < 20 && life.responses.length === 0; attempt++) {
      if (life.sent === 1) life.answer(code)
      life.advance(10_000)
    }
    const last = ended === 'SEQUENCE_PREDECESSOR_FAILED' ? ended : 'SEQUENCE_PREDECESSOR_LATE'
    t.strictSame(life.responses, [
      [1, code],
      [2, ended],
      [3, last],
    ])
    t.strictSame(life.open, [])
    t.strictSame(
      life.alerts.map((alert) => alert.alertCode),
      [alertCode, alertCode],
    )
    t.match(life.alerts[0]?.content, {
      $case: 'sequencedRequestFailure',
      value: {
        requestId: { counter: 2n, target: '00-DB-00-00-00-00-00-01' },
        precedingRequestId: { counter: 1n },
        serviceReferenceVariant: '4.1.1',
        reason: ended,
        precedingReason: code,
      },
    })
    t.equal(life.submit({ counter: 2, after: 1 }), ok, 'a repeat of what has ended')
    t.equal(life.submit({ counter: 10, after: 3 }), last, 'behind one that has failed')
    life.trial.try()
  })

t.test('cancelling one ends what comes behind it', async (t) => {
  const life = chain(4)
  t.equal(life.cancel(2), 'REQUEST_CANCELLED')
  life.wake()
  t.strictSame(life.open, [1])
  const code = 'SEQUENCE_PREDECESSOR_CANCELLED'
  t.strictSame(life.responses, [
    [2, 'REQUEST_CANCELLED'],
    [3, code],
    [4, code],
  ])
  life.answer()
  t.equal(life.sent, undefined)
  t.equal(life.responses.length, 4)
  life.trial.try()
})

t.test('a place that cannot be is refused, and nothing is accepted', async (t) => {
  const life = chain(2)
  life.submit({ counter: 20 })
  const refused: [Parameters<SequenceLife['submit']>[0], ErrorCode][] = [
    [{ counter: 30, after: 29 }, 'SEQUENCE_PREDECESSOR_UNKNOWN'],
    [{ counter: 30, after: 30 }, 'SEQUENCE_INCONSISTENT'],
    [{ counter: 30, after: 2, first: true }, 'SEQUENCE_INCONSISTENT'],
    [{ counter: 30, after: 20 }, 'SEQUENCE_INCONSISTENT'],
    [{ counter: 30, after: 1 }, 'SEQUENCE_INCONSISTENT'],
    [{ counter: 30, after: 2, afterOf: other }, 'SEQUENCE_PREDECESSOR_FOREIGN'],
    [{ counter: 30, after: 2, originator: other }, 'SEQUENCE_PREDECESSOR_UNKNOWN'],
    [{ counter: 30, after: 2, afterAt: deviceKey(2) }, 'SEQUENCE_DEVICES_DIFFER'],
  ]
  for (const [wanted, code] of refused) t.equal(life.submit(wanted), code)
  t.strictSame(life.open, [1, 2, 20])
  life.trial.directory = { ...life.trial.directory, format: formatWithMeterPoints }
  t.equal(life.submit({ counter: 30, after: 2 }), 'FORMAT_NOT_RAISED')
  t.equal(life.submit({ counter: 30, first: true }), 'FORMAT_NOT_RAISED')
})

t.test('a sequence has a length, whether or not its requests have ended', async (t) => {
  for (const answers of [0, limits.sequenceLengthMax]) {
    const life = chain(limits.sequenceLengthMax)
    for (let count = 0; count < answers; count++) life.answer()
    const counter = limits.sequenceLengthMax + 1
    t.equal(life.submit({ counter, after: counter - 1 }), 'SEQUENCE_TOO_LONG')
  }
})

t.test('a wait has an end: the own deadline, or the longest wait', async (t) => {
  const life = new SequenceLife()
  const dayMs = 24 * 3_600_000
  life.submit({ counter: 1, first: true, deadline: life.now + 5 * dayMs })
  life.submit({ counter: 2, after: 1, deadline: life.now + 1_000 })
  life.advance(1_000)
  t.strictSame(life.responses, [[2, 'SEQUENCE_PREDECESSOR_LATE']])
  t.equal(life.alerts[0]?.alertCode, 'N15')
  t.match(life.alerts[0]?.content?.value, { precedingReason: '' })
  const slow = new SequenceLife()
  slow.submit({ counter: 1, first: true, deadline: slow.now + 5 * dayMs })
  slow.submit({ counter: 2, after: 1, deadline: slow.now + 5 * dayMs })
  slow.advance(limits.sequenceWaitMsMax - 1)
  t.strictSame(slow.responses, [])
  slow.advance(1)
  t.strictSame(slow.responses, [[2, 'SEQUENCE_WAIT_EXCEEDED']])
  t.equal(slow.submit({ counter: 3, after: 2 }), 'SEQUENCE_PREDECESSOR_LATE')
  slow.trial.try()
})

t.test('what a device remembers of sequences is bounded, and kept by restarts', async (t) => {
  const life = new SequenceLife()
  for (let counter = 1; counter <= 3 * limits.deviceSequencedRememberedMax; counter++) {
    life.submit({ counter, first: true })
    life.answer()
  }
  t.equal(life.trial.state.sequenced.length, limits.deviceSequencedRememberedMax)
  t.equal(life.submit({ counter: 500, after: 1 }), 'SEQUENCE_PREDECESSOR_UNKNOWN')
  const last = 3 * limits.deviceSequencedRememberedMax
  life.restart('ledger')
  t.equal(life.submit({ counter: 500, after: last }), ok)
  t.equal(life.submit({ counter: 501, after: last }), 'SEQUENCE_INCONSISTENT', 'one successor')
  life.restart('store')
  t.equal(life.sent, 500)
  life.trial.try()
})

t.test('whatever happens: one response each, none starts too early, all ends', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('first' as const) }) },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('after' as const), pick: fc.nat(9) }),
    },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('answer' as const), good: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), is: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(700_000) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const life = new SequenceLife()
      const before = new Map<number, number>()
      const accepted = new Set<number>()
      let counter = 0
      const laneOf = (number: number): Lane => ((number * 7) % 3) as Lane
      const sentEarly = (): boolean => {
        const preceding = life.sent === undefined ? undefined : before.get(life.sent)
        if (preceding === undefined) return false
        return !life.responses.some(([one, code]) => one === preceding && code === 'OK')
      }
      for (const one of steps) {
        if (one.do === 'first') {
          if (life.submit({ counter: ++counter, first: true, lane: laneOf(counter) }) === ok)
            accepted.add(counter)
        } else if (one.do === 'after') {
          const after = Math.max(1, counter - one.pick)
          if (life.submit({ counter: ++counter, after, lane: laneOf(counter) }) === ok) {
            accepted.add(counter)
            before.set(counter, after)
          }
        } else if (one.do === 'answer') {
          if (life.sent !== undefined) life.answer(one.good ? 'OK' : 'DEVICE_REFUSED')
        } else if (one.do === 'cancel') {
          life.cancel(Math.max(1, counter - one.pick))
          life.wake()
        } else if (one.do === 'restart') life.restart(one.is ? 'store' : 'ledger')
        else life.advance(one.ms)
        if (sentEarly()) return false
      }
      for (let count = 0; life.sent !== undefined && count < 500; count++) life.answer()
      const ends = life.responses.map(([one]) => one)
      life.trial.try(Math.floor(life.trial.facts.length / 2))
      const isOnce = new Set(ends).size === ends.length
      return isOnce && ends.length === accepted.size && life.open.length === 0
    }),
    { numRuns: 200 },
  )
})
