/**
 * The directory in a broker process: its copy, which hosts and gateways decide by, and the parties
 * that a start brings along. Those of the parties file come into it once; from then on it is
 * changed by operators.
 */
import type { PartySource } from '../../core/access/directory.ts'
import { encodePartyChange } from '../../core/access/party-change.ts'
import type { Parties, Party } from '../../core/access/parties.ts'
import { textOfEui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { askActors } from '../../core/bus/actor-mail.ts'
import { directoryInForceSubject } from '../../core/cluster/directory-subject.ts'
import { announceAlive } from '../../core/cluster/alive.ts'
import { formatLatest, formatWithParties } from '../../core/cluster/format.ts'
import { encodePresence, presenceSubject } from '../../core/cluster/presence.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { version } from '../../core/ops/version.ts'
import { pause } from '../../core/ports/clock.ts'
import type { OpenedLedger } from './ledger-role.ts'
import type { StartContext } from './start-context.ts'

/**
 * Settles when the copy is that of now. Others hear from then on which format this process reads.
 */
export async function startDirectory(
  { config, hostId, clock, log, metrics, closers }: StartContext,
  { ledger, bus }: OpenedLedger,
): Promise<DirectoryReader> {
  const presence = { processId: hostId, roles: config.roles, version, reads: formatLatest }
  closers.push(announceAlive(bus, clock, presenceSubject(hostId), encodePresence(presence)))
  const reader = new DirectoryReader({ ledger, clock, log })
  closers.push(() => reader.close())
  await reader.start()
  const count = (wanted: string): number =>
    Array.from(reader.known.values(), ({ isSuspended }) =>
      isSuspended ? 'suspended' : 'active',
    ).filter((status) => status === wanted).length
  for (const status of ['active', 'suspended'])
    metrics.gauge('busbar_parties', 'Parties in the directory', () => count(status), { status })
  metrics.gauge(
    'busbar_directory_sequence',
    'Ledger sequence of the last record in the directory of this process',
    () => reader.current.sequence,
  )
  return reader
}

/** The parties that a gateway knows: those it has started with, until the directory is in force. */
export class GatewayParties implements PartySource {
  private readonly reader: DirectoryReader
  private readonly first: Parties

  constructor(reader: DirectoryReader, first: Parties) {
    this.reader = reader
    this.first = first
  }

  get format(): number {
    return this.reader.current.format
  }

  get known(): Parties {
    return this.reader.current.isInForce ? this.reader.known : this.first
  }

  onChange(listener: () => void): () => void {
    return this.reader.onChange(listener)
  }
}

/**
 * Brings `parties` into the directory, each of which that was never known, and puts it in force;
 * tries until it is done, or `isOver`. To be called when hosts may be there. `isStanding`: they are
 * not of a file, which counts once, but of a program, which brings them at each start.
 */
export async function importParties(
  { clock, log, config }: StartContext,
  { ledger, bus, owners }: OpenedLedger,
  wanted: { reader: DirectoryReader; parties: Parties; isStanding: boolean; isOver: () => boolean },
): Promise<void> {
  const { reader, parties, isStanding, isOver } = wanted
  const isDone = (): boolean => reader.current.isInForce && !isStanding
  if (isDone()) return warnOfDifferences([...parties.values()])
  const warned = new Set<string>()
  /** Once for each cause: it is tried again every second. */
  const warnOfRefusal = (party: string, code: string): void => {
    if (warned.has(`${party} ${code}`)) return
    warned.add(`${party} ${code}`)
    log.warn({ party, code }, 'a party is not imported yet')
  }
  let left = [...parties.values()]
  for (; !isOver() && !isDone(); await pause(clock, limits.unavailableRetryMs)) {
    // Processes of the version before would not understand what is written.
    if (reader.current.format < formatWithParties) continue
    left = left.filter(({ id }) => !reader.current.records.has(id))
    for (let start = 0; start < left.length; start += limits.requestsPerBatchMax) {
      const some = left.slice(start, start + limits.requestsPerBatchMax)
      const refused = await askActors(some.map(questionOf), { bus, directory: owners, clock })
      for (const { index, code } of refused) warnOfRefusal(textOfEui64(some[index]!.id), code)
    }
    await reader.refresh()
    if (left.some(({ id }) => !reader.current.records.has(id))) continue
    if (!reader.current.isInForce) {
      const data = Buffer.from(JSON.stringify({ atMs: clock.now() }), 'utf8')
      const expect = { subject: directoryInForceSubject, sequence: 0 }
      await ledger.commit([{ subject: directoryInForceSubject, data, expect }])
      await reader.refresh()
      if (!reader.current.isInForce) continue
      log.info({ parties: reader.known.size }, 'the directory is in force')
    }
    return warnOfDifferences([...parties.values()])
  }

  /** What is in the file and not in the directory is not known to anybody. */
  function warnOfDifferences(given: readonly Party[]): void {
    const known = reader.known
    const others = given.filter(({ id, role, name }) => {
      const party = known.get(id)
      return party === undefined || party.role !== role || party.name !== name
    })
    if (others.length === 0) return
    const eui64s = others.slice(0, 10).map(({ id }) => textOfEui64(id))
    const file = isStanding ? undefined : config.partiesFile
    log.warn(
      { parties: eui64s.join(), count: others.length, ...(file !== undefined && { file }) },
      'the directory has these parties otherwise, or removed, and counts: busbar parties add changes it',
    )
  }
}

const questionOf = ({ id, role, name, participant }: Party) => ({
  kind: Kind.PARTY_CHANGE,
  target: id,
  bodyBytes: encodePartyChange({
    change: 'import',
    revision: 0,
    role,
    name,
    ...(participant !== undefined && { participant }),
    by: 'start',
  }),
})
