/** A few seconds of `npm run fuzz`, and that it finds what it is for. */
import t from 'tap'
import { fuzz } from './fuzz.ts'
import { targets } from './targets.ts'

const inputsPerTarget = 3_000

for (const target of targets) {
  t.test(`${target.name}: a value or a named error, whatever comes`, async (t) => {
    const report = fuzz(target, 1, inputsPerTarget)
    t.same(report.findings, [])
    t.ok(report.values > 0, 'the corpus itself is good')
  })
}

t.test('finds a decoder that reads past the end', async (t) => {
  const { findings } = fuzz(
    { name: 'bad', corpus: [Buffer.alloc(16)], decode: (input) => input.readUInt32BE(8) },
    1,
    200,
  )
  t.ok(findings.length > 0)
})
