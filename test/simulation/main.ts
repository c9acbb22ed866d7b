/**
 * `npm run simulate -- --seed N --count M`: lives of a deployment from seeds, until one goes wrong.
 */
import { parseArgs } from 'node:util'
import { shrink } from './shrink.ts'
import { simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    'keep-going': { type: 'boolean', default: false },
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
    'npm run simulate -- [--seed N] [--count M] [--keep-going]\n\n' +
      'Lives M deployments of up to three hosts and two gateways, from the seeds N, N+1 …; ends with 1 at the first that goes wrong.\n' +
      'With --keep-going it goes through all of them and says only which go wrong.\n',
  )
  process.exit(0)
}
const first = whole(values.seed)
const count = whole(values.count)
const startedAt = performance.now()
const sum = { simulatedMs: 0, accepted: 0, asked: 0, forgotten: 0, keysChanged: 0, added: 0 }
let wrongCount = 0
for (let seed = first; seed < first + count; seed++) {
  const { violation, ...outcome } = await simulate(seed)
  for (const key of [
    'simulatedMs',
    'accepted',
    'asked',
    'forgotten',
    'keysChanged',
    'added',
  ] as const)
    sum[key] += outcome[key]
  if (violation === undefined) continue
  wrongCount++
  const { what, request } = violation
  process.stdout.write(
    `seed ${seed} goes wrong: ${request === undefined ? '' : `request ${request} `}${what}\n` +
      `again: npm run simulate -- --seed ${seed} --count 1\n`,
  )
  if (values['keep-going']) continue
  const shrunk = await shrink(seed)
  if (shrunk !== undefined)
    process.stdout.write(
      `in the smallest life that goes wrong (${shrunk.stepCount} steps; ${shrunk.kinds.join(', ') || 'no faults'}): ` +
        `${shrunk.violation?.request ?? ''} ${shrunk.violation?.what}\n` +
        `${shrunk.trace.map((line) => `  ${line}`).join('\n')}\n`,
    )
  process.exit(1)
}
const seconds = (performance.now() - startedAt) / 1_000
const hours = sum.simulatedMs / 3_600_000
process.stdout.write(
  `${count} lives, ${wrongCount} went wrong; ${sum.accepted} requests accepted, ${sum.asked} exchanges with meters, ` +
    `${sum.keysChanged} keys replaced, ${sum.added} numbers added, ${sum.forgotten} ticks forgotten; ${hours.toFixed(1)} simulated hours in ${seconds.toFixed(1)} s: ${(hours / seconds).toFixed(2)} hours per second\n`,
)
process.exit(wrongCount > 0 ? 1 : 0)
