/** `npm run simulate -- --seed N --count M`: lives of a deployment from seeds, until one goes wrong. */
import { parseArgs } from 'node:util'
import { shrink, simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    help: { type: 'boolean', default: false },
  },
})
const whole = (text: string): number => {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  process.stderr.write(`${text} is not a whole number\n`)
  return process.exit(2)
}
if (values.help) {
  process.stdout.write(
    'npm run simulate -- [--seed N] [--count M]\n\nLives M deployments of up to three hosts, from the seeds N, N+1 …; ends with 1 at the first that goes wrong.\n',
  )
  process.exit(0)
}
const first = whole(values.seed)
const count = whole(values.count)
const startedAt = performance.now()
let simulatedMs = 0
let accepted = 0
let forgotten = 0
for (let seed = first; seed < first + count; seed++) {
  const outcome = await simulate(seed)
  simulatedMs += outcome.simulatedMs
  accepted += outcome.accepted
  forgotten += outcome.forgotten
  if (outcome.violation !== undefined) {
    const { violation, trace, steps } = await shrink(seed)
    const { what, request } = violation ?? outcome.violation
    process.stdout.write(
      `seed ${seed} goes wrong: ${request === undefined ? '' : `request ${request} `}${what}\n` +
        `what happened to it, in the shortest life that shows it (${steps} steps):\n` +
        `${trace.map((line) => `  ${line}`).join('\n')}\n` +
        `again: npm run simulate -- --seed ${seed} --count 1\n`,
    )
    process.exit(1)
  }
}
const seconds = (performance.now() - startedAt) / 1_000
process.stdout.write(
  `${count} lives, ${accepted} requests accepted, each ended once, ${forgotten} ticks forgotten; ${(simulatedMs / 3_600_000).toFixed(1)} simulated hours ` +
    `in ${seconds.toFixed(1)} s: ${(simulatedMs / 3_600_000 / seconds).toFixed(2)} hours per second\n`,
)
