/**
 * A host with the trial kind as a process of its own, over the real ledger, bus and stores: what is
 * killed where letters are tested. Options are one JSON argument; a line on stdout says that it
 * serves, each line on stdin is answered with its figures. Ends in order on SIGTERM, and when stdin
 * does.
 */
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Host } from '../../actors/runtime/host/host.ts'
import { NatsBus } from '../../core/bus/nats-bus.ts'
import { Owners } from '../../core/bus/owners.ts'
import { partitionOfLetters } from '../../core/cluster/letters-subject.ts'
import { createCursorStore } from '../../core/ledger/cursors.ts'
import { createLedger } from '../../core/ledger/jetstream.ts'
import { createSnapshotStore } from '../../core/ledger/snapshots.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { natsConnectOptions } from '../../core/nats/options.ts'
import { createLog } from '../../core/ops/log.ts'
import { systemClock } from '../../core/ports/clock.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { openLmdbStores } from '../../core/store/lmdb-partitions.ts'
import { ledgerOver } from './pass-through.ts'
import { hostedTrial } from './trial-kind.ts'

export type TrialHostOptions = {
  natsUrl: string
  folder: string
  hostId: string
  partitionCount: number
  ledgerBytesMax: number
  snapshotTicks: number
  /** It gets no letters to read; the ledger must not become short of room then. */
  isDeaf: boolean
}

export type TrialHostFigures = { partitions: number; cpuMs: number }

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2]!) as TrialHostOptions
  const { hostId, partitionCount, folder, isDeaf, snapshotTicks, natsUrl } = options
  const log = createLog('error')
  const clock = systemClock
  mkdirSync(folder, { recursive: true })
  const connect = (name: string) => connectNats(natsConnectOptions({ url: natsUrl }, name))
  const connection = await connect(`trial ${hostId}`)
  const followConnection = await connect(`trial ${hostId} follow`)
  const bytesMax = options.ledgerBytesMax
  const real = await createLedger({ connection, followConnection, bytesMax, partitionCount })
  const ledger = ledgerOver(real, {
    read: (subject, from, onMessage, through) =>
      isDeaf && partitionOfLetters(subject) !== undefined
        ? new Promise<never>(() => {})
        : real.read(subject, from, onMessage, through),
    follow: (subject, from, onMessage) =>
      real.follow(subject, from, (message) => {
        if (!isDeaf || partitionOfLetters(message.subject) === undefined) return onMessage(message)
        return undefined
      }),
  })
  const ledgerId = real.openedAs.deployment.identity.id
  const bus = new NatsBus({ connection })
  const owners = new Owners({ ledger, bus, clock, log, partitionCount })
  await owners.start()
  const stores = openLmdbStores({ folder })
  const host = new Host({
    hostId,
    partitionCount,
    ledger,
    bus,
    clock,
    random: systemRandom,
    log,
    metrics: noMetrics,
    kinds: [hostedTrial],
    checkpointIntervalMs: 500,
    openStore: (partition) => stores.open(partition),
    mayTakeFrom: (owner) => owners.isSilent(owner),
    peers: owners,
    snapshots: await createSnapshotStore({ connection: followConnection, ledgerId }),
    cursors: await createCursorStore({ connection: followConnection, ledgerId }),
    snapshotTicks,
    actorsAwakeMax: 100_000,
    actorIdleMs: 3_600_000,
    onFault: (fault) => {
      throw fault
    },
  })
  await host.start()
  say({ isServing: true })
  const end = (): void =>
    void (async () => {
      await host.close()
      await owners.close()
      await real.close()
      await stores.close()
      await connection.close()
      await followConnection.close()
      process.exit(0)
    })()
  process.on('SIGTERM', end)
  createInterface({ input: process.stdin })
    .on('line', () => {
      const { user, system } = process.cpuUsage()
      say({ partitions: host.owned.length, cpuMs: (user + system) / 1_000 })
    })
    .on('close', end)
}

await main()
