/**
 * `npm run soak -- [--minutes N] [--rounds N] [--plant LEAK] [--json]`: a soak, its figures as a
 * table, and 1 when one of them grows or something is missing.
 */
import { parseArgs } from 'node:util'
import { growthBounds, type FigureName, type Sample } from './figures.ts'
import { judgedSamplesMin } from './flatness.ts'
import { plants, soak, type Plant, type SoakReport } from './soak.ts'

const usage = `npm run soak -- [--minutes N] [--rounds N] [--plant LEAK[,LEAK]] [--json]

A broker, its nats-server and meters of many makers, faulty ones and restarting ones, under the load of four parties for N minutes (60),
and for ${2 * judgedSamplesMin} cycles at least.
Ends with 1 when a request or an alert is missing, doubled, refused or out of order, or when heap, descriptors, ledger, disk or p99 grow;
with 2 for wrong arguments. --rounds: of one request a device, for each party, in a cycle (40). --plant puts a leak in, to see that it is
found: ${plants.join(', ')}.
`

function readArguments() {
  return parseArgs({
    options: {
      minutes: { type: 'string', default: '60' },
      rounds: { type: 'string', default: '40' },
      plant: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values
}

async function main(): Promise<number> {
  let values: ReturnType<typeof readArguments>
  try {
    values = readArguments()
  } catch (fault) {
    process.stderr.write(`${fault instanceof Error ? fault.message : String(fault)}\n${usage}`)
    return 2
  }
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const minutes = Number(values.minutes)
  const rounds = Number(values.rounds)
  const planted = values.plant.split(',').filter((word) => word !== '')
  const isPlant = (word: string): word is Plant => (plants as readonly string[]).includes(word)
  if (!(minutes > 0) || !Number.isSafeInteger(rounds) || rounds < 1 || !planted.every(isPlant)) {
    process.stderr.write(usage)
    return 2
  }
  const interruption = new AbortController()
  process.once('SIGINT', () => interruption.abort())
  process.once('SIGTERM', () => interruption.abort())
  const report = await soak({
    seconds: minutes * 60,
    cyclesMin: 2 * judgedSamplesMin,
    rounds,
    silentPercent: 0.02,
    plants: planted,
    signal: interruption.signal,
    log: (line) => process.stderr.write(`${line}\n`),
  })
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : formatReport(report))
  return isGood(report) ? 0 : 1
}

const isGood = ({ faults, judged }: SoakReport): boolean =>
  faults.length === 0 && judged.length > 0 && judged.every(({ isFlat }) => isFlat)

const mebi = 1024 ** 2
const unitOf = (name: FigureName): { divisor: number; unit: string } => {
  if (name === 'p50' || name === 'p99') return { divisor: 1, unit: 'ms' }
  return /descriptors/i.test(name) ? { divisor: 1, unit: '' } : { divisor: mebi, unit: 'MiB' }
}

function formatReport(report: SoakReport): string {
  const { judged, samples, faults, rejected, codes } = report
  const pad = (cells: readonly string[]): string =>
    cells.map((cell, index) => (index === 0 ? cell.padEnd(17) : cell.padStart(12))).join('')
  const rows = judged.map(({ name, level, growth, allowed, trend, isFlat }) => {
    const { divisor, unit } = unitOf(name)
    const inUnit = (value: number): string => (value / divisor).toFixed(1)
    const [first, last] = [samples[0]!, samples.at(-1)!].map((one: Sample) => inUnit(one[name]))
    const cells = [`${name} ${unit}`, first!, last!, ...[level, growth, allowed].map(inUnit)]
    return pad([...cells, trend.toFixed(1), isFlat ? 'flat' : 'GROWS'])
  })
  const growing = judged.filter(({ isFlat }) => !isFlat).map(({ name }) => name)
  const verdict =
    judged.length === 0
      ? `no verdict: ${report.cycles} cycles, ${2 * judgedSamplesMin} are needed`
      : growing.length > 0
        ? `grows: ${growing.join(', ')}`
        : `flat: ${Object.keys(growthBounds).join(', ')}`
  return `${[
    `${report.cycles} cycles in ${Math.round(report.seconds)} s: ${report.accepted} accepted, ${report.ended} ended, ${report.alerts} alerts, ` +
      `${report.repeated} deliveries repeated, ticks up to ${report.forgotten} forgotten`,
    `outcomes ${JSON.stringify(codes)}, rejected for now ${JSON.stringify(rejected)}`,
    pad(['', 'first', 'last', 'level', 'growth', 'allowed', 'trend', '']),
    ...rows,
    ...faults.map((fault) => `FAULT  ${fault}`),
    faults.length > 0 ? `${faults.length} faults; ${verdict}` : `complete; ${verdict}`,
  ].join('\n')}\n`
}

process.exitCode = await main()
