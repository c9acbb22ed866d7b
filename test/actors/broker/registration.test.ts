/** The operators' door asks hosts that are busy, or away, again: so often and no oftener. */
import t from 'tap'
import { registerDevices } from '../../../actors/broker/registration.ts'
import { limits } from '../../../core/base/limits.ts'
import { SimBus } from '../../../core/ports/sim/bus.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { serveHost, TestDirectory, turn, type HostAnswer } from '../../core/gateway/rig.ts'
import { deviceKey, plainRecord } from '../../support/envelopes.ts'
import { vault } from '../../support/keys.ts'

const entry = { key: deviceKey(1), record: plainRecord }
const busy: HostAnswer = { outcome: 'BROKER_PARTITION_BUSY' }

/** Registers one device at a host that is busy `busyCount` times. */
async function register(busyCount: number) {
  const clock = new SimClock(1_800_000_000_000)
  const bus = new SimBus({ clock })
  let asked = 0
  await serveHost(bus, 'a', () => (++asked <= busyCount ? busy : { outcome: 'REQUEST_ACCEPTED' }))
  const directory = new TestDirectory(4, 'a', clock)
  let result: Awaited<ReturnType<typeof registerDevices>> | undefined
  void registerDevices([entry], { bus, clock, directory, keys: vault }).then((found) => {
    result = found
  })
  while (result === undefined) {
    await turn()
    clock.advanceBy(limits.unavailableRetryMs)
  }
  return { asked, result }
}

t.test('a host that is busy is asked again until it is not', async (t) => {
  const last = limits.registrationAttemptsMax
  t.same(await register(last - 1), { asked: last, result: { registered: 1, refused: [] } })
})

t.test('one that stays busy has its devices refused, with its code', async (t) => {
  const { asked, result } = await register(Infinity)
  t.equal(asked, limits.registrationAttemptsMax)
  t.match(result, { registered: 0, refused: [{ index: 0, code: busy.outcome }] })
})
