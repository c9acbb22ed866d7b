/**
 * Anomaly detection: what is over a threshold is in quarantine, whatever order letters come in; the
 * party releases or deletes it.
 */
import fc from 'fast-check'
import t from 'tap'
import { QuarantineAction } from '../../core/access/quarantine-list.ts'
import { allParties, windowAt, type Threshold } from '../../core/access/thresholds.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { parseSrv, type Srv } from '../../core/base/srv.ts'
import { BodyType } from '../../core/translate/body-types.ts'
import { DccAlert } from '../../proto/gen/busbar/v1/dcc_alert.ts'
import { SynchroniseClock } from '../../proto/gen/busbar/v1/service_request.ts'
import { deviceKey, supplier } from '../support/envelopes.ts'
import { ThresholdTown } from '../support/threshold-town.ts'

const noon = Date.UTC(2026, 10, 30, 12)
const hourMs = 3_600_000
const other = `${supplier.slice(0, 7)}\u0001` as Eui64
const meter = deviceKey(1)
const of = (quarantine: number, rest: Partial<Threshold> = {}): Threshold => ({
  srv: 0,
  hours: 1,
  warning: quarantine,
  quarantine,
  ...rest,
})

function townOf(): ThresholdTown {
  const town = new ThresholdTown(noon, [supplier, other])
  for (const number of [1, 2, 3]) town.register(deviceKey(number))
  return town
}

/** Counters of what is in quarantine, or not, at a device. */
const countersAt = (town: ThresholdTown, device: Eui64, phase: string | undefined): number[] =>
  town
    .device(device)
    .open.filter(({ hold }) => hold?.phase === phase)
    .map(({ counter }) => counter.charCodeAt(7))

const alertsTo = (town: ThresholdTown, party: Eui64) =>
  town
    .deliveriesTo(party)
    .filter((one) => 'isOfDcc' in one)
    .map(({ bodyBytes }) => DccAlert.decode(bodyBytes))

t.test('a party without thresholds is not counted', async (t) => {
  const town = townOf()
  town.load(other, { thresholds: [of(1)] })
  const told = town.letters.length
  t.equal(town.submit(meter, { counter: 1 }), 'REQUEST_ACCEPTED')
  t.equal(town.letters.length, told)
  t.equal(town.device(meter).sent?.counter.charCodeAt(7), 1, 'it is on its way at once')
})

t.test('only the excess goes to quarantine, and the party is told', async (t) => {
  const town = townOf()
  town.load(supplier, { thresholds: [of(2, { warning: 1 })] })
  for (const counter of [1, 2, 3, 4]) t.equal(town.submit(meter, { counter }), 'REQUEST_ACCEPTED')
  t.strictSame(countersAt(town, meter, 'counting'), [1, 2, 3, 4])
  t.equal(town.device(meter).sent, undefined, 'nothing goes on before it is counted')
  town.deliverAll()
  t.strictSame(countersAt(town, meter, undefined), [1, 2])
  t.strictSame(countersAt(town, meter, 'quarantined'), [3, 4])
  t.equal(town.device(meter).sent?.counter.charCodeAt(7), 1)
  t.strictSame(town.listed(supplier), [1, 2])
  t.equal(town.thresholds(supplier).held, 2)
  const told = alertsTo(town, supplier)
  const [warning] = told.filter(({ alertCode }) => alertCode === '')
  const alerts = told.filter(({ alertCode }) => alertCode !== '')
  t.match(warning?.content, { $case: 'thresholdWarning', value: { passed: 1, windowHours: 1 } })
  t.strictSame(
    alerts.map(({ alertCode, content }) => [alertCode, content?.$case]),
    [
      ['N41', 'quarantinedRequest'],
      ['N41', 'quarantinedRequest'],
    ],
  )
  t.match(alerts[1]?.content?.value, {
    quarantineEventNumber: 2n,
    requestId: { counter: 4n },
    serviceReferenceVariant: '4.1.1',
  })
  t.equal(town.submit(meter, { counter: 3 }), 'REQUEST_ACCEPTED', 'a repeat')
  t.equal(town.letters.length, 0, 'is not counted')
  town.try()
})

t.test('released requests go on at the end of their lane, and are not counted again', async (t) => {
  const town = townOf()
  town.load(supplier, { thresholds: [of(1)] })
  for (const counter of [1, 2, 3]) town.submit(meter, { counter })
  town.deliverAll()
  town.submit(meter, { originator: other, counter: 4 })
  t.equal(town.resolve(meter, { counter: 2 }, QuarantineAction.RELEASE), 'REQUEST_ACCEPTED')
  town.deliverAll()
  t.strictSame(countersAt(town, meter, undefined), [1, 4, 2])
  t.strictSame(town.listed(supplier), [2])
  t.equal(town.thresholds(supplier).counts[0]?.passed, 1)
  t.equal(
    town.resolve(meter, { counter: 2 }, QuarantineAction.RELEASE),
    'REQUEST_ACCEPTED',
    'once more changes nothing',
  )
  t.equal(town.resolve(meter, { counter: 3 }, QuarantineAction.DELETE), 'REQUEST_ACCEPTED')
  t.equal(town.resolve(meter, { counter: 3 }, QuarantineAction.DELETE), 'REQUEST_ACCEPTED')
  t.equal(
    town.resolve(meter, { counter: 3 }, QuarantineAction.RELEASE),
    'REQUEST_NOT_IN_QUARANTINE',
  )
  town.deliverAll()
  t.strictSame(town.listed(supplier), [])
  t.equal(town.thresholds(supplier).held, 0)
  const responses = town.deliveriesTo(supplier).filter((one) => 'request' in one)
  t.strictSame(
    responses.map(({ outcome }) => errorCodeOf(outcome)),
    ['REQUEST_DELETED_FROM_QUARANTINE'],
  )
  town.try()
})

t.test('what is in quarantine ends at its deadline, and the list forgets it', async (t) => {
  const town = townOf()
  town.load(supplier, { thresholds: [of(0)] })
  town.submit(meter, { counter: 1, deadline: noon + 60_000 })
  town.deliverAll()
  t.strictSame(town.listed(supplier), [1])
  town.now = noon + 60_000
  town.feed(meter, { type: 'WAKE' })
  town.deliverAll()
  t.strictSame(town.device(meter).open, [])
  t.strictSame(town.listed(supplier), [])
  // One that has ended before its count came back is not listed either.
  town.submit(meter, { counter: 2, deadline: town.now + 60_000 })
  town.now += 60_000
  town.feed(meter, { type: 'WAKE' })
  town.deliverAll()
  t.equal(town.thresholds(supplier).lastEvent, 2)
  t.strictSame(town.listed(supplier), [])
  town.try()
})

t.test(
  'the next window begins at its hour; a clock that is set back opens none again',
  async (t) => {
    const town = townOf()
    town.load(supplier, { thresholds: [of(1)] })
    const submit = (counter: number, atMs: number): string => {
      town.now = atMs
      town.submit(meter, { counter })
      town.deliverAll()
      return countersAt(town, meter, 'quarantined').includes(counter) ? 'quarantined' : 'passed'
    }
    t.equal(submit(1, noon), 'passed')
    t.equal(submit(2, noon + hourMs - 1), 'quarantined')
    t.equal(submit(3, noon + hourMs), 'passed')
    t.equal(submit(4, noon), 'quarantined', 'the hour before is over')
    t.equal(windowAt(24, Date.UTC(2026, 0, 2) - 1) + 1, windowAt(24, Date.UTC(2026, 0, 2)))
  },
)

t.test('thresholds of a variant, and over all parties', async (t) => {
  const town = townOf()
  town.load(supplier, { thresholds: [of(1, { srv: parseSrv('4.1.1') }), of(3)] })
  town.load(allParties, { thresholds: [of(3)] })
  const submit = (counter: number, srv: string, originator = supplier): void => {
    town.submit(deviceKey(2), { counter, srv, originator })
    town.deliverAll()
  }
  submit(1, '4.1.1')
  submit(2, '4.1.1')
  submit(3, '4.2')
  submit(4, '4.2', other)
  submit(5, '4.2')
  t.strictSame(countersAt(town, deviceKey(2), undefined), [1, 3, 4])
  t.strictSame(countersAt(town, deviceKey(2), 'quarantined'), [2, 5])
  const codes = alertsTo(town, supplier).map(({ alertCode }) => alertCode)
  t.strictSame(
    codes.filter((code) => code !== ''),
    ['N41', 'N44'],
  )
  t.equal(town.thresholds(supplier).counts[1]?.passed, 2, 'what all parties hold up is taken back')
  town.try()
})

t.test('a value in a body outside its limits', async (t) => {
  const town = townOf()
  const limit = { srv: parseSrv('6.11'), field: 'tolerance_seconds', min: 1, max: 3600 } as const
  town.load(allParties, { valueLimits: [limit] })
  const submit = (counter: number, toleranceSeconds: number): void => {
    const body = Buffer.from(SynchroniseClock.encode({ toleranceSeconds }).finish())
    const bodyType = BodyType.SYNCHRONISE_CLOCK
    town.submit(meter, { counter, srv: '6.11', bodyType, body })
  }
  submit(1, 3600)
  submit(2, 3601)
  submit(3, 0)
  town.deliverAll()
  t.strictSame(countersAt(town, meter, undefined), [1])
  t.strictSame(countersAt(town, meter, 'quarantined'), [2, 3])
  t.equal(alertsTo(town, supplier)[0]?.alertCode, 'N45')
  town.try()
})

t.test('a device has room for so many in quarantine, beside those that wait', async (t) => {
  const town = townOf()
  town.load(supplier, { thresholds: [of(0)] })
  const max = limits.quarantinedPerDeviceMax
  for (let counter = 1; counter <= max + 1; counter++) {
    town.submit(meter, { counter })
    town.deliverAll()
  }
  t.equal(countersAt(town, meter, 'quarantined').length, max)
  t.equal(town.listed(supplier).length, max)
  const [response] = town.deliveriesTo(supplier).filter((one) => 'request' in one)
  t.equal(errorCodeOf(response!.outcome), 'QUARANTINE_FULL')
  for (let counter = 1; counter <= limits.deviceQueueMax; counter++)
    t.equal(town.submit(meter, { originator: other, counter }), 'REQUEST_ACCEPTED')
  t.equal(town.submit(meter, { originator: other, counter: 200 }), 'DEVICE_QUEUE_FULL')
  town.try()
})

t.test('a quarantine has room for so many; more are refused', async (t) => {
  const town = townOf()
  town.load(supplier, { thresholds: [of(0)] })
  town.thresholds(supplier).held = limits.quarantinedPerPartyMax
  town.submit(meter, { counter: 1 })
  town.deliverAll()
  const [response] = town.deliveriesTo(supplier)
  t.equal('request' in response! && errorCodeOf(response.outcome), 'QUARANTINE_FULL')
  t.strictSame(town.device(meter).open, [])
})

t.test('a file is loaded once, and an earlier one not at all', async (t) => {
  const town = townOf()
  t.equal(town.load(supplier, { thresholds: [of(5)] }, 7), 'REQUEST_ACCEPTED')
  t.equal(town.load(supplier, { thresholds: [of(5)] }, 7), 'REQUEST_ACCEPTED', 'the same again')
  const hash = 'cd'.repeat(32)
  t.equal(town.load(supplier, { thresholds: [of(6)] }, 7, hash), 'THRESHOLDS_FILE_OLD')
  t.equal(town.load(supplier, { thresholds: [of(6)] }, 6), 'THRESHOLDS_FILE_OLD')
  t.equal(town.load(deviceKey(9), { thresholds: [of(6)] }, 8), 'PARTY_UNKNOWN')
  town.submit(meter, { counter: 1 })
  town.deliverAll()
  t.equal(town.load(supplier, { thresholds: [of(9, { hours: 2 }), of(1)] }, 8), 'REQUEST_ACCEPTED')
  t.equal(town.thresholds(supplier).counts[1]?.passed, 1, 'a threshold that stays keeps its count')
  town.submit(meter, { counter: 2 })
  town.deliverAll()
  t.strictSame(countersAt(town, meter, 'quarantined'), [2])
  town.directory = { ...town.directory, format: 2 }
  t.equal(town.load(supplier, {}, 9), 'FORMAT_NOT_RAISED')
})

const variants = ['4.1.1', '4.2'] as const
const stepArbitrary = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      who: fc.nat(1),
      device: fc.nat(2),
      srv: fc.nat(1),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('deliver' as const), index: fc.nat(40) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.integer({ min: -hourMs, max: hourMs }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resolve' as const),
      index: fc.nat(40),
      isRelease: fc.boolean(),
    }),
  },
)

t.test('whatever order letters come in, never more than a threshold passes', async (t) => {
  fc.assert(
    fc.property(
      fc.array(stepArbitrary, { maxLength: 120 }),
      fc.record({ one: fc.nat(5), variant: fc.nat(5), all: fc.nat(8) }),
      (steps, levels) => {
        const town = townOf()
        const parties = [supplier, other]
        town.load(supplier, {
          thresholds: [of(levels.one), of(levels.variant, { srv: parseSrv('4.2') })],
        })
        town.load(allParties, { thresholds: [of(levels.all)] })
        const sent: Array<{ device: Eui64; originator: Eui64; counter: number; srv: Srv }> = []
        for (const step of steps) {
          if (step.do === 'submit') {
            const one = {
              device: deviceKey(step.device + 1),
              originator: parties[step.who]!,
              counter: sent.length + 1,
              srv: parseSrv(variants[step.srv]!),
            }
            if (
              town.submit(one.device, { ...one, srv: variants[step.srv]! }) === 'REQUEST_ACCEPTED'
            )
              sent.push(one)
          } else if (step.do === 'deliver') {
            if (town.letters.length > 0) town.deliver(step.index)
          } else if (step.do === 'pass') town.now += step.ms
          else if (sent.length > 0) {
            const { device, originator, counter } = sent[step.index % sent.length]!
            const { RELEASE, DELETE } = QuarantineAction
            town.resolve(device, { originator, counter }, step.isRelease ? RELEASE : DELETE)
          }
        }
        town.deliverAll()
        const passed = check(town, sent)
        const isOneWindow = steps.every((step) => step.do !== 'pass')
        if (isOneWindow && (passed.get(supplier) ?? 0) > levels.one)
          throw new Error('more of a party has passed')
        const total = [...passed.values()].reduce((sum, count) => sum + count, 0)
        if (isOneWindow && total > levels.all) throw new Error('more of all parties has passed')
        town.try()
      },
    ),
    { numRuns: 150 },
  )
  t.pass()
})

/** What has passed by the facts of the devices, and what the lists say. */
function check(
  town: ThresholdTown,
  sent: ReadonlyArray<{ device: Eui64; originator: Eui64; counter: number; srv: Srv }>,
): ReadonlyMap<Eui64, number> {
  const passed = new Map<Eui64, number>()
  for (const party of [supplier, allParties]) {
    const { record, counts } = town.thresholds(party)
    record!.thresholds.forEach(({ quarantine }, index) => {
      if (counts[index]!.passed > quarantine) throw new Error('more passes than a threshold lets')
    })
  }
  const held: Array<[Eui64, number]> = []
  for (const { device, originator, counter } of sent) {
    const request = town
      .device(device)
      .open.find((one) => one.originator === originator && one.counter === keyOf(counter))
    if (request?.hold?.phase === 'counting') throw new Error('a count never came back')
    if (request?.hold !== undefined) held.push([originator, request.hold.event])
    const facts = town.trial(device).facts as unknown as Array<{
      type: string
      counter: RequestCounter
      originator: Eui64
      phase: string
      event: number
    }>
    const isPassed = facts.some(
      (one) =>
        one.type === 'REQUEST_HELD' &&
        one.counter === keyOf(counter) &&
        one.originator === originator &&
        one.phase === 'free' &&
        one.event === 0,
    )
    if (isPassed) passed.set(originator, (passed.get(originator) ?? 0) + 1)
  }
  const listed = [supplier, other].flatMap((party) =>
    town.listed(party).map((event): [Eui64, number] => [party, event]),
  )
  const text = (pairs: Array<[Eui64, number]>): string => pairs.map(String).sort().join()
  if (text(listed) !== text(held)) throw new Error('the lists are not what is in quarantine')
  const total = [supplier, other].reduce((sum, party) => sum + town.thresholds(party).held, 0)
  if (total !== held.length) throw new Error('the number in quarantine is wrong')
  return passed
}

function keyOf(counter: number): RequestCounter {
  return `${'\0'.repeat(7)}${String.fromCharCode(counter)}` as RequestCounter
}
