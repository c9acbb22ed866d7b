/**
 * Readiness is honest: a ledger that is silent or full, partitions that nobody serves, deliveries
 * that lag are all told.
 */
import t from 'tap'
import { deliveryTrouble, LedgerWatch, partitionTrouble } from '../../../actors/broker/readiness.ts'
import { limits } from '../../../core/base/limits.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimLedger } from '../../../core/ports/sim/ledger.ts'
import { ledgerOver } from '../../support/pass-through.ts'
import { settle } from '../../support/world.ts'

t.test('a ledger that is silent, and comes back', async (t) => {
  const clock = new SimClock(1_800_000_000_000)
  const sim = new SimLedger()
  let isSilent = false
  let asked = 0
  const answers: Array<() => void> = []
  const ledger = ledgerOver(sim, {
    usage: () => {
      asked++
      if (!isSilent) return sim.usage()
      return new Promise((_resolve, reject) => answers.push(() => reject(new Error('gone'))))
    },
  })
  const watch = new LedgerWatch(ledger, clock)
  watch.start()
  t.match(watch.trouble, /not answered yet/)
  await settle()
  t.equal(watch.trouble, undefined)
  isSilent = true
  // A clock that is set makes nothing silent, and hides no silence.
  clock.setBy(3_600_000)
  t.equal(watch.trouble, undefined)
  clock.setBy(-7_200_000)
  for (let passed = 0; passed <= 2 * limits.readinessSilenceMsMax; passed += 1_000) {
    clock.advanceBy(1_000)
    await settle()
  }
  t.match(watch.trouble, /has not answered for \d+ ms/)
  t.equal(answers.length, 1, 'a silent server has one question waiting, not many')
  isSilent = false
  answers[0]!()
  await settle()
  clock.advanceBy(limits.readinessLookMs)
  await settle()
  t.equal(watch.trouble, undefined)
  watch.close()
  const before = asked
  clock.advanceBy(10 * limits.readinessLookMs)
  await settle()
  t.equal(asked, before, 'nothing is asked after close')
})

t.test('a ledger that is full, and how far it has got', async (t) => {
  const clock = new SimClock(1_800_000_000_000)
  const ledger = new SimLedger({ bytesMax: 1_000_000 })
  const watch = new LedgerWatch(ledger, clock)
  watch.start()
  await settle()
  t.equal(watch.trouble, undefined)
  await ledger.commit([{ subject: 'log.a', data: Buffer.alloc(900_001) }])
  clock.advanceBy(limits.readinessLookMs)
  await settle()
  t.match(
    watch.trouble,
    /BROKER_LEDGER_FULL: 900001 of 1000000 octets are used, the last 100000 are kept/,
  )
  t.equal(watch.lastSequence, 1)
  watch.close()
})

t.test('partitions: unowned, of a silent owner, our own that are not served', (t) => {
  const owners = {
    partitionCount: 4,
    ownerOf: (partition: number) => [undefined, 'dead', 'us', 'us'][partition],
    isSilent: (hostId: string) => hostId === 'dead',
  }
  t.equal(
    partitionTrouble(owners, 'us', [3]),
    "of 4, 1 have no owner, 1 have an owner that is silent, 1 of this host's own are not served yet, or cannot be read",
  )
  const whole = { ...owners, ownerOf: () => 'us' }
  t.equal(partitionTrouble(whole, 'us', [0, 1, 2, 3]), undefined)
  t.equal(partitionTrouble(whole), undefined, 'a gateway serves none itself')
  t.equal(partitionTrouble({ ...owners, ownerOf: () => 'them' }, 'us'), undefined)
  t.end()
})

t.test('deliveries that lag', (t) => {
  t.equal(deliveryTrouble(limits.deliveryLagTicksMax + 5, 5), undefined)
  t.match(deliveryTrouble(limits.deliveryLagTicksMax + 6, 5), /2001 ticks behind/)
  t.end()
})
