/**
 * `busbar letters set-aside`: moves the unread letters of a partition to a file, so that the ledger
 * may be trimmed again. The owner of the partition records it as a fact of the partition's
 * letterbox: who, when, how many. The file is written first, and is what it says or is removed.
 */
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { textOfActor } from '../../../core/base/actor-id.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { isBefore, noLetter, type LetterPlace } from '../../../core/base/letter-place.ts'
import { Lane } from '../../../core/base/lane.ts'
import { limits } from '../../../core/base/limits.ts'
import type { Srv } from '../../../core/base/srv.ts'
import { decodeLease, leaseSubject } from '../../../core/cluster/lease-record.ts'
import { lettersSubject } from '../../../core/cluster/letters-subject.ts'
import { decodeHostStatus, statusSubject } from '../../../core/cluster/process-status.ts'
import { readOutcome, writeEnvelope } from '../../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../../core/envelope/layout.ts'
import { readLetter } from '../../../core/envelope/letter.ts'
import { partitionAt } from '../../../core/envelope/partition.ts'
import { hostSubject, type Bus } from '../../../core/ports/bus.ts'
import type { Ledger } from '../../../core/ports/ledger.ts'
import { encodeLettersAside, type LettersAside } from '../../kind/letters-aside.ts'
import { lettersIn } from '../../runtime/recovery/unread-letters.ts'
import { OperatorFault } from '../operator-fault.ts'

export type AsidePorts = { ledger: Ledger; bus: Bus; partitionCount: number }
export type AsideWanted = { partition: number; file: string; by: string }

const attemptsMax = 5

/**
 * @returns how many letters are in the file now, 0 when none was unread
 * @throws OperatorFault when the partition has no owner that answers, or the file is there;
 * BrokerError LETTERS_READ_MEANWHILE, BROKER_…
 */
export async function setLettersAside(ports: AsidePorts, wanted: AsideWanted): Promise<number> {
  const { partition, by } = wanted
  if (partition >= ports.partitionCount)
    throw new OperatorFault(`partitions are 0 to ${ports.partitionCount - 1}`)
  if (by === '' || Buffer.byteLength(by) > limits.operatorNameBytesMax)
    throw new OperatorFault(
      `--by must say who sets letters aside, in at most ${limits.operatorNameBytesMax} octets`,
    )
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryAside(ports, wanted)
    } catch (fault) {
      const isAgain = fault instanceof BrokerError && fault.code === 'LETTERS_READ_MEANWHILE'
      if (!isAgain || attempt === attemptsMax) throw fault
    }
  }
}

async function tryAside(ports: AsidePorts, { partition, file, by }: AsideWanted): Promise<number> {
  const owner = await ownerOf(ports, partition)
  const after = await lettersReadOf(ports, partition, owner)
  const written = await writeUnread(ports.ledger, partition, after, file)
  if (written === undefined) return 0
  const { through, count } = written
  await ask(ports, partition, owner, { after, through, count, by }).catch((fault: unknown) => {
    // Nothing was set aside. After any other fault it is not known.
    if (fault instanceof BrokerError && fault.code === 'LETTERS_READ_MEANWHILE') rmSync(file)
    throw fault
  })
  return count
}

async function ownerOf({ ledger }: AsidePorts, partition: number): Promise<string> {
  const lease = await ledger.lastOn(leaseSubject(partition))
  const owner = lease === undefined ? '' : decodeLease(lease.data).hostId
  if (owner === '') throw new OperatorFault(`partition ${partition} has no owner`)
  return owner
}

/** Up to where the owner has read; letters that led to nothing may be ahead of the ledger. */
async function lettersReadOf(
  { bus }: AsidePorts,
  partition: number,
  owner: string,
): Promise<LetterPlace> {
  const answer = await bus
    .request(statusSubject(owner), Buffer.alloc(0), limits.aliveIntervalMs)
    .catch((cause: unknown) => {
      const text = `host ${owner}, which owns partition ${partition}, does not answer`
      throw new OperatorFault(text, { cause })
    })
  const its = decodeHostStatus(answer).partitions.find(({ number }) => number === partition)
  if (its === undefined) throw new OperatorFault(`host ${owner} does not serve ${partition} now`)
  return its.lettersRead ?? noLetter
}

/** Writes one line of JSON for each letter behind `after`. @returns undefined without letters */
async function writeUnread(
  ledger: Ledger,
  partition: number,
  after: LetterPlace,
  file: string,
): Promise<{ through: LetterPlace; count: number } | undefined> {
  let handle: number | undefined
  let through = after
  let count = 0
  try {
    await ledger.read(lettersSubject(partition), Math.max(1, after.sequence), (message) => {
      for (const { place, at } of lettersIn(message)) {
        if (!isBefore(after, place)) continue
        handle ??= openNew(file)
        const { from, to, hops, time, bodyView } = readLetter(message.data, at)
        const text = { from: textOfActor(from), to: textOfActor(to), hops }
        const sentAt = new Date(time).toISOString()
        const line = { ...place, ...text, sentAt, body: bodyView.toString('base64') }
        writeSync(handle, `${JSON.stringify(line)}\n`)
        through = place
        count++
      }
    })
    if (handle !== undefined) fsyncSync(handle)
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
  return count === 0 ? undefined : { through, count }
}

function openNew(file: string): number {
  try {
    return openSync(file, 'wx', 0o600)
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause)
    throw new OperatorFault(`${file} cannot be made (${why}); name a new file with --to`, { cause })
  }
}

/**
 * Asks once, not as core/bus/actor-mail does: what has taken effect would be refused when it is
 * asked again. @throws BrokerError with why the letterbox refuses; OperatorFault without an answer
 */
async function ask(
  { bus, partitionCount }: AsidePorts,
  partition: number,
  owner: string,
  aside: LettersAside,
): Promise<void> {
  const body = encodeLettersAside(aside)
  const envelope = Buffer.alloc(headerBytes + body.length)
  const none = Buffer.alloc(8)
  const header = {
    ...{ kind: Kind.SET_LETTERS_ASIDE, lane: Lane.URGENT, srv: 0 as Srv, outcome: 0 },
    ...{ bodyType: 0, attempt: 0, originator: none, counter: 0n, time: 0 },
    ...{ target: targetIn(partition, partitionCount), deadline: 0, correlation: 0 },
  }
  writeEnvelope(envelope, 0, header, body)
  const answer = await bus
    .request(hostSubject(owner), envelope, limits.acknowledgementWaitMsMax)
    .catch((cause: unknown) => {
      const text = `host ${owner} has not said whether the letters are set aside: LETTERS_SET_ASIDE in \`busbar ledger tail --from\` says so; without it the file is void`
      throw new OperatorFault(text, { cause })
    })
  const code = errorCodeOf(readOutcome(answer, 0))
  if (code !== 'REQUEST_ACCEPTED')
    throw new BrokerError(code ?? 'ENVELOPE_MALFORMED', `partition ${partition}`)
}

/** Eight octets that belong to the partition: its letterbox has none of its own. */
function targetIn(partition: number, partitionCount: number): Buffer {
  const octets = Buffer.alloc(8)
  for (let number = 0; partitionAt(octets, 0, partitionCount) !== partition; number++)
    octets.writeUInt32BE(number, 4)
  return octets
}
