/**
 * Runs the benches: `npm run bench -- [NAME] [--json] [--smoke] [--seed N] [--devices N]`. Without
 * a name all of them, one after another. Progress goes to stderr; stdout has the figures, with
 * --json as one object and nothing else.
 */
import { readdir } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { machine, readable, type Bench } from './harness.ts'

const suffix = '.bench.ts'
const usage = 'npm run bench -- [NAME …] [--json] [--smoke] [--seed N] [--devices N]'

function readArguments() {
  return parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      devices: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>
  try {
    given = readArguments()
  } catch (fault) {
    process.stderr.write(`${fault instanceof Error ? fault.message : String(fault)}\n${usage}\n`)
    return 2
  }
  const { values, positionals } = given
  if (values.help) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  const names = (await readdir(import.meta.dirname))
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort()
  const asked = positionals.length > 0 ? positionals : names
  const unknown = asked.filter((name) => !names.includes(name))
  const seed = Number(values.seed)
  const devices = values.devices === undefined ? undefined : Number(values.devices)
  const isNumber = Number.isSafeInteger(seed) && Number.isSafeInteger(devices ?? 1)
  if (unknown.length > 0 || !isNumber) {
    if (unknown.length > 0)
      process.stderr.write(`There is no bench ${unknown.join(', ')}. There are:\n`)
    else process.stderr.write('--seed and --devices take a whole number. Benches:\n')
    for (const name of names) {
      const { describe } = await load(name)
      process.stderr.write(`  ${name.padEnd(12)} ${describe}\n`)
    }
    return 1
  }
  const log = (line: string): void => void process.stderr.write(`${line}\n`)
  const about = machine()
  log(
    `node ${about.node}, ${about.cpus} × ${about.cpu}, commit ${about.commit}, seed ${seed}${values.smoke ? ', smoke' : ''}`,
  )
  const results: Record<string, Record<string, unknown>> = {}
  for (const name of asked) {
    const bench = await load(name)
    log(`${name}: ${bench.describe}`)
    const figures = await bench.run({
      smoke: values.smoke,
      seed,
      ...(devices !== undefined && { devices }),
      log: (line) => log(`  ${line}`),
    })
    results[name] = rounded(figures) as Record<string, unknown>
    if (!values.json) print(name, results[name])
  }
  if (values.json) {
    // One bench: its figures stand at the top, as scripts expect them.
    const figures = asked.length === 1 ? results[asked[0]!]! : results
    process.stdout.write(
      `${JSON.stringify({ ...figures, machine: about, seed, smoke: values.smoke })}\n`,
    )
  }
  return 0
}

async function load(name: string): Promise<Bench> {
  return (await import(new URL(`${name}${suffix}`, import.meta.url).href)) as Bench
}

function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? readable(value) : null
  if (Array.isArray(value)) return value.map(rounded)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, rounded(inner)]))
  }
  return value
}

function print(name: string, figures: Record<string, unknown>): void {
  process.stdout.write(`${name}\n`)
  for (const [key, value] of Object.entries(figures)) {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    process.stdout.write(`  ${key.padEnd(28)} ${text}\n`)
  }
}

process.exitCode = await main()
