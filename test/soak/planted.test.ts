/**
 * A soak finds the leaks that are planted: in the broker's heap, in its descriptors, and a ledger
 * that never forgets.
 */
import t from 'tap'
import { judgedSamplesMin } from './flatness.ts'
import { soak } from './soak.ts'

t.test('planted leaks are found', async (t) => {
  const report = await soak({
    seconds: 0,
    cyclesMin: 2 * judgedSamplesMin,
    rounds: 4,
    isCalm: true,
    plants: ['heap', 'descriptors', 'ledger'],
    log: (line) => t.comment(line),
  })
  t.same(report.faults, [])
  const growing = report.judged.filter(({ isFlat }) => !isFlat).map(({ name }) => name)
  for (const name of ['heap', 'descriptors', 'ledger'] as const)
    t.ok(
      growing.includes(name),
      `${name}: ${JSON.stringify(report.judged.find((one) => one.name === name))}`,
    )
  t.notOk(growing.includes('natsDescriptors'))
})
