/**
 * `npm run fuzz -- --seconds N --seed S --target NAME`: feeds decoders with changed inputs until
 * the time is over or one does what it must not.
 */
import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.ts'
import { targets } from './targets.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string', default: '' },
  },
})
const inputsPerRound = 2_000
const chosen = targets.filter(({ name }) => name.includes(values.target))
if (chosen.length === 0) {
  process.stderr.write(`no such target; there are: ${targets.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}
const until = performance.now() + Number(values.seconds) * 1_000
let inputs = 0
for (let seed = Number(values.seed); performance.now() < until; seed++) {
  for (const target of chosen) {
    const report = fuzz(target, seed, inputsPerRound)
    inputs += report.inputs
    for (const { fault, inputHex } of report.findings)
      process.stdout.write(`${target.name}, seed ${seed}: ${fault}\n  ${inputHex}\n`)
    if (report.findings.length > 0) process.exit(1)
  }
}
process.stdout.write(
  `${inputs} inputs to ${chosen.length} decoders: a value or a named error each\n`,
)
