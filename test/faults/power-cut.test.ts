/**
 * Power cuts under load: the broker's whole data directory is on a disk of its own (ext4, then
 * xfs), whose file system is shut down without a flush of its log while requests come in; then the
 * disk is mounted again and the broker starts on what is left. Every request that was acknowledged
 * is there, and ends once. The control run tells nats-server to flush every two minutes, and must
 * lose some: else the cuts would prove nothing.
 *
 * This file starts itself again in a mount namespace for each file system. `BUSBAR_POWER_CUTS` says
 * how many cuts each file system gets, two when left out; `SEED` when they come and in which order.
 * The two file systems together see each kind of cut.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { ensureNatsServer } from '../../core/ops/setup/nats-server.mjs'
import { natsPlaces } from '../../core/ops/embedded-nats/nats-settings.ts'
import { seededRandom } from '../../core/ports/random.ts'
import {
  cutFileSystems,
  inMountNamespace,
  whyNoDisk,
  whyNoNamespace,
  type CutFileSystem,
} from '../support/cut-disk.ts'
import { CutTown, cutKinds } from '../support/cut-town.ts'
import { startTestNats } from '../support/nats.ts'

const cutCount = Number(process.env['BUSBAR_POWER_CUTS'] ?? 2)
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
// A disk of 4 GiB has no room for the ledger that a broker makes when it is not said.
process.env['BUSBAR_LEDGER_BYTES'] = '256MiB'
const inside = process.env['BUSBAR_POWER_CUT_DISK'] as CutFileSystem | undefined

if (inside === undefined) {
  const why = whyNoNamespace()
  for (const kind of cutFileSystems) {
    if (why !== undefined) t.test(kind, { skip: `no power cuts here: ${why}` }, async () => {})
    else {
      const [command, args] = inMountNamespace([process.execPath, import.meta.filename])
      const env = { ...process.env, BUSBAR_POWER_CUT_DISK: kind, SEED: String(seed) }
      void t.spawn(command, args, { env }, kind)
    }
  }
} else {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-power-'))
  const why = whyNoDisk(inside, folder)
  rmSync(folder, { recursive: true })
  const skip = why === undefined ? false : `no ${inside} to cut here: ${why}`
  t.test('what was acknowledged is there after each cut', { skip }, (t) => cuts(t, inside))
  t.test('without flushes it is lost', { skip }, (t) => control(t, inside))
}

/** Requests that the ledger knows as accepted, by `device:counter`. */
async function onLedger(
  operator: Awaited<ReturnType<typeof openOperatorLedger>>,
): Promise<{ accepted: Set<string>; faults: string[] }> {
  const accepted = new Set<string>()
  const { faults } = await auditOf(operator.ledger, ({ requestId, what }) => {
    if (what.startsWith('REQUEST_ACCEPTED')) accepted.add(requestId!.split(':').slice(1).join(':'))
  })
  return { accepted, faults }
}

async function cuts(t: Test, kind: CutFileSystem): Promise<void> {
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  const below = (count: number): number => random.bytes(4).readUInt32BE(0) % count
  const town = new CutTown(kind)
  t.teardown(() => town.stop())
  const load = await town.start()
  t.teardown(() => load.close())
  const { supplier } = load
  const config = readFileSync(natsPlaces(town.deployment.brokerDir).config, 'utf8')
  t.match(config, /sync_interval: always/)

  const first = below(cutKinds.length) + cutFileSystems.indexOf(kind)
  for (let number = 1; number <= cutCount; number++) {
    const more = 20 + below(200)
    const cutKind = cutKinds[(first + number) % cutKinds.length]!
    const until = supplier.accepted.size + more
    await supplier.until(() => supplier.accepted.size >= until)
    await town.cut(cutKind)
    const acknowledged = [...supplier.accepted]
    await town.restart(cutKind === 'starting')
    const operator = await openOperatorLedger(addressOf({ dataDir: town.deployment.brokerDir }))
    const { accepted, faults } = await onLedger(operator)
    await operator.close()
    const lost = acknowledged.filter((key) => !accepted.has(key))
    const what = `cut ${number}, ${cutKind}, SEED=${seed}`
    t.same(lost, [], `${what}: ${acknowledged.length} acknowledged requests are there`)
    t.same(faults, [], `${what}: every hash chain holds`)
    await load.progress(1)
  }
  await load.finish()
  const operator = await openOperatorLedger(addressOf({ dataDir: town.deployment.brokerDir }))
  t.teardown(() => operator.close())
  await load.check(t, operator.ledger)
}

/** nats-server as the broker starts it, but for its flushes; the caller removes it. */
async function serverWithoutFlushes(folder: string): Promise<string> {
  const { path } = (await ensureNatsServer({ env: process.env, progress: () => undefined }))!
  const program = join(folder, 'nats-server-without-flushes')
  writeFileSync(
    program,
    `#!/bin/sh
for word in "$@"; do
  case "$word" in
    *.conf) sed -i 's/sync_interval: always/sync_interval: "2m"/' "$word" ;;
  esac
done
exec '${path}' "$@"
`,
  )
  chmodSync(program, 0o755)
  return program
}

async function control(t: Test, kind: CutFileSystem): Promise<void> {
  const town = new CutTown(kind)
  const given = process.env['NATS_SERVER_BIN']
  process.env['NATS_SERVER_BIN'] = await serverWithoutFlushes(town.deployment.dataDir)
  t.teardown(async () => {
    await town.stop()
    if (given === undefined) delete process.env['NATS_SERVER_BIN']
    else process.env['NATS_SERVER_BIN'] = given
  })
  const load = await town.start()
  t.teardown(() => load.close())
  const { brokerDir } = town.deployment
  t.match(readFileSync(natsPlaces(brokerDir).config, 'utf8'), /sync_interval: "2m"/)
  await load.progress(1)
  // What has come until now is kept, the ledger's own files too.
  town.disk.flush()
  await load.progress(3)
  await town.cut('stopped')
  const acknowledged = [...load.supplier.accepted]
  load.close()
  // The server alone: what a broker makes of a ledger that has lost its end is another test's
  // question.
  const nats = await startTestNats({ storeDir: natsPlaces(brokerDir).store })
  town.onStop = () => nats.close()
  const lost = await lostOf(nats.url, acknowledged)
  t.ok(lost.length > 0, `${lost.length} of ${acknowledged.length} acknowledged requests are lost`)
}

/**
 * Those of `acknowledged` that the ledger does not know: all of them when nats-server has lost the
 * stream itself.
 */
async function lostOf(url: string, acknowledged: readonly string[]): Promise<readonly string[]> {
  const operator = await openOperatorLedger({ url }).catch((fault: unknown) => {
    if (fault instanceof BrokerError && fault.message.includes('stream not found')) return undefined
    throw fault
  })
  if (operator === undefined) return acknowledged
  const { accepted } = await onLedger(operator)
  await operator.close()
  return acknowledged.filter((key) => !accepted.has(key))
}
