/** Who gets what a device with meter points says by itself. */
import t from 'tap'
import { errorCodeOf, errorId } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Role } from '../../core/catalogue/service-requests.ts'
import { alertCodes, alertRolesOf } from '../../core/catalogue/alert-codes.ts'
import { deviceKey, plainRecord, registrationOf, supplier } from '../support/envelopes.ts'
import { directory, gaining, now, other, points, Town } from '../support/town.ts'

const device = deviceKey(1)
const [point] = points
const network = deviceKey(900)
const parties = new Map([
  ...directory.parties,
  [network, { id: network, role: 'ED' as Role, name: 'Network', participant: 'NETW' }],
])
const powerBack = 0x8f35
const credit = 0x810e

class AlertTown extends Town {
  private count = 0

  override device(id: Eui64) {
    const actor = super.device(id)
    actor.directory = { ...directory, parties }
    return actor
  }

  /** The parties that get it, and how the push was answered. */
  push(alertCode: number): { to: Eui64[]; code: string | undefined } {
    const { deliveries, effects } = this.device(device)
    const [before, answered] = [deliveries.length, effects.length]
    this.feed('device', device, {
      type: 'PUSH_OPENED',
      id: String(++this.count).padStart(8, '\0'),
      outcome: errorId('OK'),
      opened: undefined,
      receivedAt: this.now,
      bodies: [{ bodyBytes: Buffer.of(1), alertCode }],
      replyTo: undefined,
    })
    const answer = this.device(device)
      .effects.slice(answered)
      .find(({ type }) => type === 'ACKNOWLEDGE') as { outcome: number } | undefined
    return {
      to: this.device(device)
        .deliveries.slice(before)
        .map((one) => (one as unknown as { party: Eui64 }).party),
      code: answer && errorCodeOf(answer.outcome),
    }
  }
}

function registered(alertsTo?: readonly Eui64[]): AlertTown {
  const town = new AlertTown()
  const record = { ...plainRecord, meterPoints: [point!], ...(alertsTo && { alertsTo }) }
  town.arrive('device', device, registrationOf(device, record))
  const from = 20260101
  town.register(point!, {
    items: [
      { item: 'supplier', value: 'AAAA', from },
      { item: 'network-operator', value: 'NETW', from },
    ],
  })
  town.deliverAll()
  return town
}

t.test('by the code: the supplier or the network operator of that moment', async (t) => {
  const town = registered()
  t.strictSame(town.push(powerBack).to, [network])
  t.strictSame(town.push(credit).to, [supplier])
  t.strictSame(town.push(0).to, [supplier], 'a message without a code')
  town.register(point!, { items: [{ item: 'supplier', value: 'BBBB', from: 20261205 }] })
  town.deliverAll()
  t.strictSame(town.push(credit).to, [supplier], 'not before the change')
  town.now = Date.UTC(2026, 11, 5, 12)
  t.strictSame(town.push(credit).to, [gaining])
})

t.test('parties of alertsTo get it while they are registered there, each once', async (t) => {
  const town = registered([supplier, gaining, network, other])
  t.strictSame(town.push(credit).to, [supplier, network])
  town.now = now + 1
  town.grant(point!)
  town.deliverAll()
  t.strictSame(town.push(credit).to, [supplier, network, other], 'a third party by its consent')
})

t.test(
  'nobody is to get it: it is refused, and may come again while rights are awaited',
  async (t) => {
    const town = new AlertTown()
    town.arrive('device', device, registrationOf(device, { ...plainRecord, meterPoints: [point!] }))
    t.equal(town.push(credit).code, 'RIGHTS_NOT_KNOWN')
    town.deliverAll()
    t.strictSame(town.push(credit), { to: [], code: 'DEVICE_ALERT_UNADDRESSED' })
  },
)

t.test('the table: each code once, with roles', async (t) => {
  t.equal(alertCodes.length, 185)
  t.ok(alertCodes.every(({ number }) => alertRolesOf(number).size > 0))
  t.ok(alertRolesOf(0x8f43).has('IS'), 'where recipients are not known: the supplier')
})
