/**
 * The life cycle of a device: which status may follow which, what parties may send in each, and
 * what becomes of requests that wait.
 */
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { statusBody } from '../../actors/device/status-fact.ts'
import { emptyDirectory } from '../../core/access/directory.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import { formatLatest, formatWithMeterPoints } from '../../core/cluster/format.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { DeviceStatus, mayFollow } from '../../core/inventory/device-status.ts'
import { ActorTrial } from '../support/actor-trial.ts'
import { deviceKey, envelopeOf, registrationOf } from '../support/envelopes.ts'

const now = 1_800_000_000_000
const device = deviceKey(1)

class Life extends ActorTrial<any, any, any, any> {
  // oxlint-disable-line typescript/no-explicit-any
  constructor() {
    super(deviceKind as never, device)
    this.directory = { ...emptyDirectory, format: formatLatest }
    this.arrive(registrationOf(device))
  }

  arrive(buffer: Buffer): ErrorCode | undefined {
    const from = this.effects.length
    this.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined }, now)
    const answer = this.effects.slice(from).find(({ type }) => type === 'ACKNOWLEDGE')
    return answer && errorCodeOf((answer as { outcome: number }).outcome)
  }

  go(status: DeviceStatus): ErrorCode | undefined {
    const body = statusBody({ status, by: 'ann' })
    return this.arrive(envelopeOf({ kind: Kind.DEVICE_STATUS, device, body }))
  }

  submit(srv: string, counter: number): ErrorCode | undefined {
    return this.arrive(envelopeOf({ srv, device, counter, deadline: now + 86_400_000 }))
  }
}

t.test('a status follows only some others; the same again changes nothing', async (t) => {
  for (const before of DeviceStatus)
    for (const after of DeviceStatus) {
      const life = new Life()
      life.state.status = before
      const facts = life.facts.length
      const isNext = before === after || mayFollow(before, after)
      t.equal(life.go(after), isNext ? 'REQUEST_ACCEPTED' : 'DEVICE_STATUS_NOT_NEXT')
      t.equal(life.facts.length - facts, isNext && before !== after ? 1 : 0, `${before} ${after}`)
    }
})

t.test('a status says what may be sent, and is kept by the store', async (t) => {
  const life = new Life()
  t.equal(life.submit('4.1.1', 1), 'REQUEST_ACCEPTED')
  t.equal(life.submit('4.1.1', 2), 'REQUEST_ACCEPTED', 'it waits behind the first')
  t.equal(life.go('Suspended'), 'REQUEST_ACCEPTED')
  t.same(
    life.deliveries.map((one) => 'outcome' in one && errorCodeOf(one.outcome)),
    ['DEVICE_STATUS_UNFIT'],
    'what waits ends, what is on its way does not',
  )
  t.equal(life.submit('4.1.1', 3), 'DEVICE_STATUS_UNFIT')
  life.try()
  life.try(3)
  t.equal(life.go('Commissioned'), 'REQUEST_ACCEPTED')
  t.equal(life.submit('4.1.1', 3), 'REQUEST_ACCEPTED')
  life.try()
})

t.test('what is not valid, and an earlier format, are refused', async (t) => {
  const life = new Life()
  const wrong = (body: Buffer) =>
    life.arrive(envelopeOf({ kind: Kind.DEVICE_STATUS, device, body }))
  t.equal(wrong(Buffer.alloc(0)), 'VIEW_QUERY_INVALID')
  t.equal(wrong(Buffer.of(99, 65)), 'VIEW_QUERY_INVALID')
  t.equal(wrong(Buffer.of(1)), 'VIEW_QUERY_INVALID', 'nobody is named')
  life.directory = { ...life.directory, format: formatWithMeterPoints - 1 }
  t.equal(life.go('Suspended'), 'FORMAT_NOT_RAISED')
})
