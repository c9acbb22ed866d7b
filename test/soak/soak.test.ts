/** A minute of soak. `npm run soak` is the long one; planted.test.ts shows that leaks are found. */
import t from 'tap'
import type { FigureName } from './figures.ts'
import { judgedSamplesMin } from './flatness.ts'
import { soak } from './soak.ts'

/** As many cycles as are judged, and some more, fill the minute: faster finds nothing more. */
const cycleMsMin = 3_000
/** Figures that say nothing of how busy the machine is. */
const steady: readonly FigureName[] = ['heap', 'external', 'descriptors', 'natsDescriptors']

t.test('a minute: everything is answered once, memory and descriptors stay', async (t) => {
  const cyclesMin = 2 * judgedSamplesMin
  const report = await soak({
    ...{ seconds: 60, cyclesMin, cycleMsMin, rounds: 1 },
    log: (line) => t.comment(line),
  })
  const { accepted, ended, alerts, repeated, codes, judged } = report
  t.comment(`${accepted} requests, ${alerts} alerts, ${repeated} deliveries repeated`)
  t.comment(JSON.stringify(codes))
  t.comment(JSON.stringify(judged))
  t.same(report.faults, [], 'nothing is missing, doubled, refused or out of order')
  t.equal(ended, accepted)
  t.ok(alerts > 0)
  t.ok((codes['I0 OK'] ?? 0) > ended / 2, 'most were carried out')
  t.same(
    judged.filter(({ name, isFlat }) => !isFlat && steady.includes(name)),
    [],
  )
})
