/**
 * Letters between actors of real processes: hosts and nats-server are killed in the middle of a
 * stream of letters, and a backup is taken while many are unread. Everything drains, and each
 * letter takes effect once.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { backup, firstSequenceOf, readManifest, restore } from '../../actors/cli/operator/backup.ts'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { backupPortsOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import { ownEntry } from '../../actors/own-entry.ts'
import { textOfEui64 } from '../../core/base/eui64.ts'
import { partitionOfLetters } from '../../core/cluster/letters-subject.ts'
import { environmentOfNode } from '../../core/ops/setup/child-environment.mjs'
import { tickSubjects, type Ledger } from '../../core/ports/ledger.ts'
import { deviceKey } from '../support/envelopes.ts'
import { startTestNats } from '../support/nats.ts'
import { polled } from '../support/polled.ts'
import { TrialEstate, type TrialHost } from '../support/trial-estate.ts'
import { add, addedIn } from '../support/trial-letters.ts'
import { numberOf } from '../support/world.ts'

const trialCount = 16
/** How often a letter is answered. */
const answers = 3
/** Numbers that are sent stand far from those of letters: sixteen times as large, and more. */
const base = 1_000_000

/** One to another trial, which answers, and so on. */
const envelopeOf = (counter: number): Buffer =>
  add(deviceKey(counter % trialCount), counter, deviceKey((counter + 7) % trialCount), answers)

/** How often each number was added, as the ledger says. */
class Tally {
  readonly counts = new Map<number, number>()
  private through = 0

  async read(ledger: Ledger): Promise<this> {
    await ledger.read(tickSubjects, this.through + 1, (message) => {
      this.through = message.sequence
      addedIn(message, (_device, value) =>
        this.counts.set(value, (this.counts.get(value) ?? 0) + 1),
      )
    })
    return this
  }

  private of(value: number): number {
    return this.counts.get(value) ?? 0
  }

  /** Letters that have not taken effect, or more than once, of what is accepted. */
  faultsOf(counters: Iterable<number>): string[] {
    const faults: string[] = []
    for (const counter of counters) {
      // A number whose acknowledgement was lost is sent again, and then added twice.
      const wanted = this.of(counter)
      if (wanted === 0) faults.push(`${counter} was acknowledged and never added`)
      for (let hop = 1; hop <= answers + 1; hop++) {
        const found = this.of(counter * 16 + hop)
        if (found !== wanted) faults.push(`${counter}, hop ${hop}: ${found} of ${wanted}`)
      }
    }
    return faults
  }
}

t.test('hosts and nats-server are killed in the middle of letters', async (t) => {
  const estate = await TrialEstate.start()
  t.teardown(() => estate.stop())
  const hosts: Record<string, TrialHost> = {}
  for (const id of ['a', 'b']) hosts[id] = await estate.startHost(id)
  await estate.shared(Object.values(hosts))

  const accepted = new Set<number>()
  let next = base
  let isOver = false
  const sending = (async () => {
    while (!isOver) {
      const counters = Array.from({ length: 20 }, () => next++)
      let open = counters
      while (open.length > 0 && !isOver) {
        for (const counter of await estate.send(open.map(envelopeOf))) accepted.add(counter)
        open = open.filter((counter) => !accepted.has(counter))
      }
    }
  })()
  const more = (count: number): Promise<unknown> => {
    const wanted = accepted.size + count
    return polled(
      () => accepted.size,
      (size) => size >= wanted,
    )
  }
  await more(200)
  for (const victim of ['a', 'b', 'a']) {
    await hosts[victim]!.kill()
    // The other one takes over, or this one goes on where it was.
    if (victim === 'b') await more(100)
    hosts[victim] = await estate.startHost(victim)
    await more(200)
  }
  await estate.nats.kill()
  await estate.nats.start()
  await more(200)
  isOver = true
  await sending

  const tally = new Tally()
  await polled(
    async () => (await tally.read(estate.ledger)).faultsOf(accepted).length,
    (count) => count === 0,
  )
  t.ok(accepted.size >= 900, `${accepted.size} numbers, ${answers + 1} letters each`)
  // Whatever was written without an acknowledgement has led to its letters, too.
  const written = [...tally.counts.keys()].filter((value) => value < 2 * base)
  await polled(
    async () => (await tally.read(estate.ledger)).faultsOf(written).length,
    (count) => count === 0,
  )
  const audit = await auditOf(estate.ledger)
  t.same(audit.faults, [])
  // Behind snapshots they are forgotten.
  const sent = [...tally.counts].reduce(
    (sum, [value, count]) => sum + (value > 2 * base ? count : 0),
    0,
  )
  t.ok(audit.letters! < sent, `${audit.letters} of ${sent} letters are in the ledger`)
  t.same(tally.faultsOf(written), [])
})

t.test('a backup with unread letters, restored: each takes effect once', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-letters-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const estate = await TrialEstate.start({ snapshotTicks: 20 })
  t.teardown(() => estate.stop())
  let host = await estate.startHost('a')
  const accepted: number[] = []
  const send = async (count: number): Promise<void> => {
    for (let sent = 0; sent < count; sent++)
      accepted.push(...(await estate.send([envelopeOf(base + accepted.length)])))
  }
  await send(60)
  const tally = new Tally()
  await polled(
    async () => (await tally.read(estate.ledger)).faultsOf(accepted).length,
    (count) => count === 0,
  )
  await host.kill()
  host = await estate.startHost('a', true)
  await polled(
    async () => {
      await send(1)
      return accepted.length
    },
    (count) => count >= 100,
  )
  const address = { url: estate.nats.url }
  const operator = await openOperatorLedger(address)
  const ports = await backupPortsOf(operator)
  const manifest = await backup(ports, join(folder, 'one'))
  t.same(manifest.audit.faults, [])
  t.ok(manifest.audit.letters! >= 40, `${manifest.audit.letters} letters in the backup`)
  await operator.close()

  // Into another nats-server, as `busbar restore` does it.
  const nats = await startTestNats()
  const firstSequence = firstSequenceOf(await readManifest(join(folder, 'one')))
  const restored = await openOperatorLedger({ url: nats.url }, 'restore', { firstSequence })
  t.same(
    await restore(await backupPortsOf(restored), join(folder, 'one'), restored.restoring),
    manifest.audit,
  )
  const placesIn = async (ledger: Ledger): Promise<string[]> => {
    const places: string[] = []
    await ledger.read('meta.*', 1, ({ subject, sequence, data }) => {
      if (partitionOfLetters(subject) === undefined) return
      places.push(`${subject} ${sequence} ${data.toString('base64')}`)
    })
    return places
  }
  t.same(await placesIn(restored.ledger), await placesIn(estate.ledger))
  await restored.close()
  await host.kill()

  const second = await TrialEstate.start({ nats })
  t.teardown(() => second.stop())
  await second.startHost('a')
  const after = new Tally()
  await polled(
    async () => (await after.read(second.ledger)).faultsOf(accepted).length,
    (count) => count === 0,
  )
  t.same((await auditOf(second.ledger)).faults, [])
  t.same(after.faultsOf(accepted), [])
})

t.test('`busbar letters set-aside`, beside a host that runs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-letters-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const estate = await TrialEstate.start()
  t.teardown(() => estate.stop())
  const deaf = await estate.startHost('a', true)
  const accepted = await polled(
    () => estate.send(Array.from({ length: 40 }, (_, index) => envelopeOf(base + index))),
    (counters) => counters.length === 40,
  )
  const addressee = deviceKey((base + 7) % trialCount)
  const partition = numberOf(addressee)
  const isAside = (counter: number): boolean =>
    numberOf(deviceKey((counter + 7) % trialCount)) === partition

  const file = join(folder, 'letters')
  const busbar = async (...args: string[]): Promise<{ code: unknown; out: string }> => {
    const child = spawn(process.execPath, [ownEntry, ...args, '--nats-url', estate.nats.url], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environmentOfNode(process.env),
    })
    let out = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (out += chunk.toString()))
    const [code] = (await once(child, 'close')) as [unknown]
    return { code, out }
  }
  const aside = ['letters', 'set-aside', '--partition', String(partition), '--to', file]
  const count = accepted.filter(isAside).length
  t.match(await busbar(...aside, '--by', 'somebody'), {
    code: 0,
    out: `${count} letters to actors of partition ${partition} are in ${file}`,
  })
  t.equal(readFileSync(file, 'utf8').trim().split('\n').length, count)
  t.match(await busbar(...aside), { code: 0, out: `partition ${partition} has no unread letters` })
  t.match(await busbar('letters', 'set-aside', '--partition', '99', '--to', file), {
    code: 1,
    out: 'partitions are 0 to 3',
  })
  t.match(await busbar('ledger', 'show', `15/${textOfEui64(addressee)}`), {
    code: 0,
    out: /LETTER 0 to 15\/.*, hops 1, 5 octets/,
  })
  t.match(await busbar('ledger', 'verify'), { code: 0, out: 'letters between actors' })
  await deaf.kill()
  await estate.startHost('a')

  // The others are read, these are not: also not by the next life.
  const tally = new Tally()
  const others = accepted.filter((counter) => !isAside(counter))
  await polled(
    async () => (await tally.read(estate.ledger)).faultsOf(others).length,
    (faults) => faults === 0,
  )
  t.same(
    accepted.filter((counter) => isAside(counter) && tally.counts.has(counter * 16 + 1)),
    [],
  )
  const lines: string[] = []
  const audit = await auditOf(estate.ledger, ({ what }) => void lines.push(what))
  t.same(audit.faults, [])
  t.equal(lines.filter((line) => /^LETTERS_SET_ASIDE .* by "somebody"$/.test(line)).length, 1)
})
