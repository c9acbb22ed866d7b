/**
 * Repeats by the contract at one device, in any order and across restarts: every request is
 * accepted once, and what was accepted is acknowledged again as at first. Decision 0015.
 */
import t from 'tap'
import { packState } from '../../actors/device/state-codec.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { DeviceLife } from '../support/device-life.ts'
import { deviceKey } from '../support/envelopes.ts'

const count = 600
const acceptedIn = (life: DeviceLife): number =>
  life.facts.filter(({ type }) => type === 'REQUEST_ACCEPTED').length

/**
 * Submits all, repeats what was refused for lack of room, and loses every seventh acknowledgement.
 */
function insist(life: DeviceLife, counters: readonly bigint[], between: (round: number) => void) {
  let open = [...counters]
  for (let round = 0; open.length > 0; round++) {
    const again: bigint[] = []
    open.forEach((counter, index) => {
      const code = life.submit({ counter })
      if (code !== 'REQUEST_ACCEPTED' && code !== 'DEVICE_QUEUE_FULL')
        throw new Error(`${counter}: ${code}`)
      const isLost = round < 12 && index % 7 === 3
      if (code === 'DEVICE_QUEUE_FULL' || isLost) again.push(counter)
    })
    for (let i = 0; i < 50; i++) life.answer()
    life.now += limits.deviceRetryAfterMs
    between(round)
    open = again
  }
  while (life.answer());
}

const orders: Record<string, (list: bigint[]) => bigint[]> = {
  'in order': (list) => list,
  'in reverse order': (list) => list.toReversed(),
  'odd ones first': (list) => [
    ...list.filter((_, index) => index % 2 === 1),
    ...list.filter((_, index) => index % 2 === 0),
  ],
}

for (const [name, order] of Object.entries(orders)) {
  t.test(`600 requests at once, repeated ${name}: each is accepted and run once`, async (t) => {
    for (const step of [1n, 431_000n]) {
      const life = new DeviceLife()
      const first = step === 1n ? 1n : BigInt(life.now) * 1_000_000n
      const counters = Array.from({ length: count }, (_, index) => first + BigInt(index) * step)
      insist(life, order(counters), (round) => life.restart(round % 2 === 0 ? 'store' : 'ledger'))
      t.equal(acceptedIn(life), count)
      t.equal(new Set(life.sent).size, count)
      for (const counter of counters) t.equal(life.submit({ counter }), 'REQUEST_ACCEPTED')
      t.equal(acceptedIn(life), count, 'a repeat is not accepted a second time')
    }
  })
}

t.test(
  'a repeat after a lost acknowledgement, behind 900 others: the first one again',
  async (t) => {
    const life = new DeviceLife()
    const at = life.ask({ counter: 1 }).time
    life.answer()
    life.now += 60_000
    for (let counter = 2; counter <= 900; counter++) {
      life.submit({ counter })
      life.answer()
    }
    const again = life.ask({ counter: 1 })
    t.same([errorCodeOf(again.outcome), again.time], ['REQUEST_ACCEPTED', at])
    t.equal(life.submit({ counter: 1, srv: '7.4' }), 'REQUEST_COUNTER_REUSED')
    t.equal(life.sent.length, 900)
  },
)

t.test('the state stays within its size, whoever asks', async (t) => {
  const life = new DeviceLife()
  for (let index = 0; index < 2_000; index++) {
    const originator = deviceKey(5_000 + (index % limits.deviceOriginatorsMax))
    t.equal(life.submit({ originator, counter: index + 1 }), 'REQUEST_ACCEPTED')
    life.answer()
  }
  t.ok(packState(life.state).length < 64 * 1024, `${packState(life.state).length} octets`)
})
