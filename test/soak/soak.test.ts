/** A minute of soak; and that a soak finds the leaks that are planted. `npm run soak` is the long one. */
import t from 'tap'
import type { FigureName } from './figures.ts'
import { judgedSamplesMin } from './flatness.ts'
import { soak, type SoakReport } from './soak.ts'

/** Figures that say nothing of how busy the machine is. */
const steady: readonly FigureName[] = ['heap', 'external', 'descriptors', 'natsDescriptors']
const growingOf = ({ judged }: SoakReport): FigureName[] =>
  judged.filter(({ isFlat }) => !isFlat).map(({ name }) => name)

t.test('a minute: everything is answered once, memory and descriptors stay', async (t) => {
  const cyclesMin = 2 * judgedSamplesMin
  const report = await soak({ seconds: 60, cyclesMin, rounds: 3, log: (line) => t.comment(line) })
  const { accepted, ended, alerts, repeated, codes, judged } = report
  t.comment(`${accepted} requests, ${alerts} alerts, ${repeated} deliveries repeated`)
  t.comment(JSON.stringify(codes))
  t.comment(JSON.stringify(judged))
  t.same(report.faults, [], 'nothing is missing, doubled, refused or out of order')
  t.equal(ended, accepted)
  t.ok(alerts > 0)
  t.ok((codes['I0 OK'] ?? 0) > ended / 2, 'most were carried out')
  t.same(
    growingOf(report).filter((name) => steady.includes(name)),
    [],
  )
})

t.test('planted leaks are found', async (t) => {
  const report = await soak({
    seconds: 0,
    cyclesMin: 2 * judgedSamplesMin,
    rounds: 3,
    isCalm: true,
    plants: ['heap', 'descriptors', 'ledger'],
    log: (line) => t.comment(line),
  })
  t.same(report.faults, [])
  const growing = growingOf(report)
  for (const name of ['heap', 'descriptors', 'ledger'] as const)
    t.ok(
      growing.includes(name),
      `${name}: ${JSON.stringify(report.judged.find((one) => one.name === name))}`,
    )
  t.notOk(growing.includes('natsDescriptors'))
})
