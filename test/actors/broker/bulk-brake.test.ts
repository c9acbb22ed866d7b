/** The brake of bulk work: it waits for the letters of the host that has most, and no longer. */
import t from 'tap'
import { BulkBrake } from '../../../actors/broker/bulk-brake.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  encodeHostStatus,
  statusSubject,
  type LettersBacklog,
} from '../../../core/cluster/process-status.ts'
import { nextTurn } from '../../../core/ports/clock.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'

/** Hosts that answer with their letters; undefined for one of a version that does not count. */
class Hosts {
  readonly clock = new SimClock(1_000_000)
  readonly letters = new Map<string, LettersBacklog | undefined>()
  asked = 0
  readonly brake = new BulkBrake({
    clock: this.clock,
    aliveHosts: () => [...this.letters.keys(), 'silent'],
    bus: {
      request: async (subject: string) => {
        this.asked++
        const hostId = [...this.letters.keys()].find((one) => statusSubject(one) === subject)
        if (hostId === undefined) throw new Error('no answer')
        const letters = this.letters.get(hostId)
        return encodeHostStatus({ hostId, roles: [], partitions: [], ...(letters && { letters }) })
      },
    } as never,
  })

  /** Whether bulk work goes on after `ms`. */
  async goesOn(work: Promise<void>, ms = 0): Promise<boolean> {
    let isDone = false
    void work.then(() => (isDone = true))
    this.clock.advanceBy(ms)
    for (let turn = 0; turn < 5; turn++) await nextTurn()
    return isDone
  }
}

const few = { unreadMax: limits.bulkLettersUnreadMax, oldestMs: limits.bulkLettersAgeMsMax }

t.test(
  'it goes on while every partition is within its limits, and asks now and then',
  async (t) => {
    const hosts = new Hosts()
    hosts.letters.set('one', few).set('old', undefined)
    t.ok(await hosts.goesOn(hosts.brake.mayGoOn()))
    const { asked } = hosts
    t.ok(await hosts.goesOn(hosts.brake.mayGoOn(), limits.bulkLookMs - 1))
    t.equal(hosts.asked, asked, 'a look holds for a while')
    hosts.clock.advanceBy(1)
    t.ok(await hosts.goesOn(hosts.brake.mayGoOn()))
    t.equal(hosts.asked, asked + 3)
  },
)

for (const [what, over] of [
  ['too many unread letters', { ...few, unreadMax: limits.bulkLettersUnreadMax + 1 }],
  ['an old letter', { ...few, oldestMs: limits.bulkLettersAgeMsMax + 1 }],
] as const)
  t.test(`it waits for ${what} of any host`, async (t) => {
    const hosts = new Hosts()
    hosts.letters.set('one', few).set('two', over)
    const work = hosts.brake.mayGoOn()
    t.notOk(await hosts.goesOn(work))
    t.ok(hosts.brake.isOn)
    t.notOk(await hosts.goesOn(work, limits.bulkLookMs))
    hosts.letters.set('two', few)
    t.ok(await hosts.goesOn(work, limits.bulkLookMs))
    t.notOk(hosts.brake.isOn)
  })

t.test('the end of the process ends the wait', async (t) => {
  const hosts = new Hosts()
  hosts.letters.set('one', { ...few, unreadMax: 1_000_000 })
  const work = hosts.brake.mayGoOn()
  t.notOk(await hosts.goesOn(work))
  hosts.brake.close()
  t.ok(await hosts.goesOn(work, limits.bulkLookMs))
})
