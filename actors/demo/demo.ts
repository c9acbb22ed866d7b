/**
 * `npm start`: a fleet of simulated meters, a broker with its embedded nats-server, and a
 * demonstration supplier that submits the requests of a sample file and takes the answers; then it
 * keeps serving until Ctrl-C. Everything is started through the command line and used through the
 * public doors, so what it shows is what anybody gets.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { demoPartiesJson, demoSupplierPartiesJson } from '../../core/access/parties.ts'
import { ensureDevelopmentPki } from '../../core/ops/development-pki.ts'
import { settings } from '../../core/ops/settings.ts'
import { readPartyFiles } from '../../core/ops/pki-folder.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { readParties } from '../broker/parties-file.ts'
import type { Role } from '../../core/catalogue/service-requests.ts'
import { rotateKeyFile } from '../../core/ops/key-encryption-keys.ts'
import { registerWholeFile } from '../cli/operator/device-registration.ts'
import { OperatorFault } from '../cli/operator-fault.ts'
import { aloneLatencies, answeredOf } from './alone-latency.ts'
import { startChild, type Child } from './children.ts'
import { nextSteps } from './next-steps.ts'
import { planOf, type DemoDevice, type Planned } from './plan.ts'
import { ProgressBar } from './progress-bar.ts'
import {
  addMeterPoints,
  changeSupplier,
  ensureParties,
  partiesOfDemo,
  registerMeterPoints,
  type Registered,
} from './registration.ts'
import { report } from './report.ts'
import { showSchedule } from './schedule.ts'
import { Supplier, type Account, type SupplierOptions } from './supplier.ts'

export type DemoOptions = {
  meters: number
  requests?: string | undefined
  isOnce: boolean
  isJson: boolean
  dataDir: string
  grpc: string
  http: string
  ops: string
  faults?: string | undefined
}

/** Ended by a signal, as shells have it. */
const interrupted = 130
/** Signals closer together are one and the same. */
const sameSignalMs = 500
// Of the meters: under suite 0, 1 and 2.
const securityShares = '0.3,0.1,0.1'
const sampleFile = fileURLToPath(new URL('requests.jsonl', import.meta.url))
const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** Runs the demonstration; settles with the exit code. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const children: Child[] = []
  let isStopped = false
  const stopped = new Promise<void>((resolveStopped) => {
    let askedAt = 0
    const stop = (): void => {
      // A second signal means no more waiting; the children end when we are gone. One
      // Ctrl-C may come several times, from the terminal and from those who started us.
      const now = performance.now()
      if (isStopped && now - askedAt > sameSignalMs) process.exit(interrupted)
      askedAt = now
      if (isStopped) return
      isStopped = true
      say('draining …')
      resolveStopped()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })
  try {
    const code = await demonstrate(options, children, { stopped, isStopped: () => isStopped })
    if (code !== undefined) return code
    await stopped
    return 0
  } finally {
    for (const child of children.toReversed()) await child.stop()
  }
}

type Stop = { stopped: Promise<void>; isStopped: () => boolean }

/** Addresses of the broker's doors. */
type Listening = { grpc: string; http: string; ops: string; nats: string }

/** Files of the demonstration in, or beside, its data directory. */
type DemoFiles = { dataDir: string; devices: string; parties: string; keys: string; pki: string }

/** The exit code, or undefined to wait for the end. */
async function demonstrate(
  options: DemoOptions,
  children: Child[],
  { stopped, isStopped }: Stop,
): Promise<number | undefined> {
  const requestsText = readFileSync(options.requests ?? sampleFile, 'utf8')
  // No summary is no success to a script that asked for one.
  const cutShort = options.isOnce ? interrupted : 0
  const files = await makeFiles(resolve(options.dataDir))
  // Calls of the operators' door find their token by it, as commands do.
  process.env[settings.dataDir.env] = files.dataDir

  say('starting nats-server and the broker …')
  const broker = await startBroker(options, files)
  children.push(broker)
  if (isStopped()) return cutShort
  say(`starting ${options.meters} simulated meters …`)
  const fleet = await startFleet(options, files)
  // The broker ends first: it ends what it has under way, and needs the meters for that.
  children.unshift(fleet)
  if (isStopped()) return cutShort
  const listening = broker.said['listening'] as Listening
  const died = deathOf(broker, fleet)
  const devices = devicesIn(files.devices)
  const registering = registerAll(files, devices, listening.ops)
  const registered = await Promise.race([registering, died, stopped.then(() => undefined)])
  if (registered === undefined) {
    // What comes of it is of no interest any more.
    registering.catch(() => undefined)
    return cutShort
  }
  say(`${devices.length} devices in the inventory`)

  const plan = planOf(requestsText, devices, Date.now())
  const bar = new ProgressBar(process.stderr, process.env)
  const supplierOptions = supplierOptionsOf(listening.grpc, files.pki, bar)
  const supplier = new Supplier(supplierOptions)
  const account = await Promise.race([supplier.run(plan), died, stopped.then(() => undefined)])
  bar.end()
  await supplier.close()
  if (account === undefined) return cutShort
  const measuring = measureAlone(supplierOptions, answeredOf(plan, account))
  const alone = await Promise.race([measuring, died, stopped.then(() => [])])
  if (isStopped()) return cutShort
  const place = { ops: listening.ops, dataDir: files.dataDir }
  const changing = changeSupplier(place, devices, supplierOptions)
  changing.catch(() => undefined)
  const change = await Promise.race([changing, died, stopped.then(() => undefined)])
  if (isStopped()) return cutShort
  const showing = showSchedule(supplierOptions, devices)
  showing.catch(() => undefined)
  const schedule = await Promise.race([showing, died, stopped.then(() => undefined)])
  if (isStopped()) return cutShort
  report({ account, alone, listening, registered, change, schedule }, options.isJson)
  if (!options.isJson) printNextSteps(options, listening, devices)
  if (options.isOnce) return isComplete(account) ? 0 : 1
  say('serving until Ctrl-C')
  await Promise.race([stopped, died])
  return undefined
}

async function makeFiles(dataDir: string): Promise<DemoFiles> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const parties = join(dataDir, 'parties.json')
  writeFileSync(parties, `${JSON.stringify(partiesOfDemo, null, 2)}\n`, { mode: 0o600 })
  // Beside the data directory: a copy of that must not open what is sealed in it.
  const keys = `${dataDir}.key-encryption-keys`
  if (!existsSync(keys)) rotateKeyFile(keys)
  const pki = join(dataDir, 'pki')
  await ensureDevelopmentPki(pki, readParties(parties), [], {
    clock: systemClock,
    random: systemRandom,
  })
  return { dataDir, devices: join(dataDir, 'devices.jsonl'), parties, keys, pki }
}

/** The parties, meter points and devices into the broker. */
async function registerAll(
  { devices: file, dataDir }: DemoFiles,
  devices: readonly DemoDevice[],
  ops: string,
): Promise<Registered> {
  await ensureParties(ops)
  const registered = await registerMeterPoints(ops, dataDir, devices)
  addMeterPoints(file, devices)
  await registerWholeFile(file, ops)
  return registered
}

const startBroker = (
  { grpc, http, ops }: DemoOptions,
  { dataDir, parties, keys, pki }: DemoFiles,
): Promise<Child> =>
  startChild([
    'serve',
    '--data-dir',
    dataDir,
    '--parties',
    parties,
    '--key-encryption-key-file',
    keys,
    '--pki',
    pki,
    '--insecure-party-header=false',
    '--insecure-operators=false',
    // Empty: those of its data directory, whatever the environment says.
    '--operators=',
    '--grpc',
    grpc,
    '--http',
    http,
    '--ops',
    ops,
    '--log-level',
    process.env['BUSBAR_LOG_LEVEL'] ?? 'warn',
  ])

const startFleet = ({ meters, faults }: DemoOptions, { devices }: DemoFiles): Promise<Child> =>
  startChild([
    'meters',
    '--meters',
    String(meters),
    '--devices',
    devices,
    '--security-shares',
    securityShares,
    ...(faults ? ['--faults', faults] : []),
  ])

/** Rejects when either of them ends by itself. */
function deathOf(broker: Child, fleet: Child): Promise<never> {
  const died = new Promise<never>((_, reject) => {
    broker.onDeath = (how) => reject(new OperatorFault(`the broker ${how}`))
    fleet.onDeath = (how) => reject(new OperatorFault(`the meters' process ${how}`))
  })
  died.catch(() => undefined)
  return died
}

const devicesIn = (file: string): DemoDevice[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as DemoDevice)

const supplierOptionsOf = (address: string, pki: string, bar: ProgressBar): SupplierOptions => ({
  address,
  credentialsOf: (party) => ({ party, tls: readPartyFiles(pki, party) }),
  parties: new Map(demoSupplierPartiesJson.map(({ role, eui64 }): [Role, string] => [role, eui64])),
  onStreamEnd: (line) => {
    bar.end()
    say(line)
  },
  onProgress: (account, total) =>
    bar.show(account.answered + account.timedOut + account.refused, total, 'requests'),
})

function printNextSteps(
  { dataDir, isOnce }: DemoOptions,
  listening: Listening,
  devices: readonly DemoDevice[],
): void {
  const device = devices.find(({ type }) => type === 'ESME')?.eui64
  const party = demoPartiesJson[0]!.eui64
  for (const line of nextSteps({ ...listening, party, device, dataDir, isOnce }))
    process.stdout.write(`${line}\n`)
}

/** True when each request has an outcome. */
const isComplete = ({ missing, answered, refused, timedOut, submitted }: Account): boolean =>
  missing === 0 && answered + refused + timedOut === submitted

/** With connections of its own: a party has one receiver, and that of the whole plan has ended. */
async function measureAlone(
  options: SupplierOptions,
  plan: readonly Planned[],
): Promise<readonly number[]> {
  const single = new Supplier({ ...options, onProgress: () => undefined })
  try {
    return await aloneLatencies(single, plan)
  } finally {
    await single.close()
  }
}
