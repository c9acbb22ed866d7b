/**
 * Who gets a place at a gateway that fills up: load classes from the last to the first, and as much
 * for each party as is free.
 */
import t from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import { parseSrv, type Srv } from '../../../../core/base/srv.ts'
import { loadClassOf, loadClasses } from '../../../../core/catalogue/load-classes.ts'
import { serviceRequests } from '../../../../core/catalogue/service-requests.ts'
import { Admission } from '../../../../core/gateway/intake/admission.ts'
import { OwnerQueue } from '../../../../core/gateway/intake/owner-queue.ts'
import { PartyAccount } from '../../../../core/gateway/intake/party-account.ts'
import { Slots } from '../../../../core/gateway/intake/slots.ts'
import { Turn } from '../../../../core/gateway/intake/turn-flush.ts'
import { noMetrics, type Metrics } from '../../../../core/ports/metrics.ts'
import { Answers, makeIntake, party, turnOver, wire } from '../held-intake.ts'

const srv = (text: string): Srv => parseSrv(text) as Srv
const none = new OwnerQueue('a', new Turn(), () => undefined)

t.test('classes: what restores a supply is shed last, bulk reads first', async (t) => {
  const classes: [string, string][] = [
    ['2.2', 'supply'],
    ['7.1', 'supply'],
    ['7.3', 'supply'],
    ['7.2', 'command'],
    ['6.11', 'command'],
    ['4.1.1', 'read'],
    ['4.8.1', 'bulk'],
    ['11.1', 'bulk'],
  ]
  for (const [text, name] of classes) t.equal(loadClassOf(srv(text)).name, name, text)
  t.equal(loadClassOf(0 as Srv).fullAt, 1, 'a cancellation')
  for (const row of serviceRequests) t.ok(loadClasses.includes(loadClassOf(row.srv)), row.text)
})

/** What each class is answered with when `used` of 100 places are taken, by other parties. */
function answersAt(used: number): (string | undefined)[] {
  const slots = new Slots(100)
  const admission = new Admission(slots, noMetrics)
  for (let i = 0; i < used; i++) slots.take(new Answers(), i, new PartyAccount(party, 5), 0, 0)
  const one = new PartyAccount(party, 5)
  return ['4.8.1', '4.1.1', '7.2', '2.2'].map((text) =>
    admission.refusalOf(one, srv(text), 100, none, 0),
  )
}

t.test('each class has a level above which it is shed', async (t) => {
  const shed = 'BROKER_LOAD_SHED'
  t.same(answersAt(59), [undefined, undefined, undefined, undefined])
  t.same(answersAt(60), [shed, undefined, undefined, undefined])
  t.same(answersAt(75), [shed, shed, undefined, undefined])
  t.same(answersAt(90), [shed, shed, shed, undefined])
  t.same(answersAt(99), [shed, shed, shed, undefined])
  t.same(answersAt(100), [shed, shed, shed, 'BROKER_GATEWAY_BUSY'])
  const slots = new Slots(100)
  const counted: string[] = []
  const counter: Metrics['counter'] = (name, _what, labels) => ({
    add: () => void counted.push(`${name} ${labels?.['class']}`),
  })
  const admission = new Admission(slots, { ...noMetrics, counter })
  const bytes = limits.gatewayBytesInFlightMax
  const of = (text: string): unknown =>
    admission.refusalOf(new PartyAccount(party, 5), srv(text), 100, none, bytes * 0.8)
  t.same([of('4.1.1'), of('7.2'), of('4.8.1'), of('4.1.1')], [shed, undefined, shed, shed])
  const total = 'busbar_gateway_shed_total'
  t.same(counted, [`${total} read`, `${total} bulk`, `${total} read`], 'by octets, too')
})

t.test('floods share the places, and leave some for others', async (t) => {
  const slots = new Slots(1_000)
  const admission = new Admission(slots, noMetrics)
  const flood = (account: PartyAccount): number => {
    let count = 0
    while (admission.refusalOf(account, srv('2.2'), 100, none, 0) === undefined) {
      slots.take(new Answers(), 0, account, 0, 0)
      count++
    }
    return count
  }
  const [a, b] = [new PartyAccount(party, 5), new PartyAccount(party, 6)]
  t.equal(flood(a), 500)
  t.equal(flood(b), 250)
  t.equal(flood(a), 0)
  t.ok(flood(new PartyAccount(party, 7)) > 100)
})

t.test(
  'while no frame can be sent, a flood of large bodies leaves room in the next one',
  async (t) => {
    const { bus, intake, account, answers } = makeIntake()
    const body = { $case: 'displayMessage', value: { text: 'x'.repeat(100) } } as const
    const small = wire({ serviceReferenceVariant: '3.1', body })
    // Each frame goes out at the end of its turn, until as many are out as may be.
    for (let frame = 0; frame < limits.gatewayFramesInFlightMax; frame++) {
      intake.submit(account, small, 0, small.length, answers, frame)
      await turnOver()
    }
    t.equal(bus.sent.length, limits.gatewayFramesInFlightMax)
    let tag = 1_000
    while (answers.codes.size === 0) intake.submit(account, small, 0, small.length, answers, tag++)
    t.same([...answers.codes.values()], ['BROKER_GATEWAY_BUSY'])
    const other = new PartyAccount(party, 6)
    for (let count = 0; count < 100; count++)
      intake.submit(other, small, 0, small.length, answers, tag++)
    t.equal(answers.codes.size, 1, 'each request of another party has a place')
    t.equal(other.inFlight, 100)
  },
)
