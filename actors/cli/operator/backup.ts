/**
 * A deployment's ledger, snapshots and cursors as one file, taken while it runs, and brought back
 * with the same sequences (delivery ids are made of them). Local stores are caches and not in it.
 *
 *   ledger.backup   records: crc32 u32 of what follows | sequence u64 | subject length u16 | data length u32 | subject | data
 *   manifest.json   how many, how far, where each chain ends, the file's SHA-256; written last,
 *                   so a backup without it is incomplete
 *
 * Integers are big-endian. A record with sequence 0 is no message: `cursor.<name>`, or
 * `snapshot.<name>`, the octets of a snapshot in as many records as they take. Messages before the
 * first tick that is not forgotten keep their subjects, not their sequences. Letters between actors
 * keep theirs, for the place up to which a partition has read them is one of these: trimming leaves
 * the tick of every letter that is not behind the snapshot of its partition.
 */
import { createHash } from 'node:crypto'
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { directorySubjects } from '../../../core/cluster/directory-subject.ts'
import {
  decodeDeployment,
  encodeDeployment,
  withIncarnation,
  type Deployment,
  type LedgerIdentity,
} from '../../../core/ledger/identity.ts'
import { partitionOfLetters } from '../../../core/cluster/letters-subject.ts'
import { deploymentSubject } from '../../../core/ledger/opening.ts'
import { writePrivateFile } from '../../../core/ops/embedded-nats/nats-settings.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import type { CursorStore, Ledger, LedgerEntry, LedgerMessage } from '../../../core/ports/ledger.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import {
  decodeSnapshotRecord,
  trimSubject,
  type SnapshotStore,
} from '../../../core/ports/snapshot.ts'
import { trimRecordOf } from '../../runtime/recovery/trimmed-history.ts'
import { LedgerAudit, type AuditResult } from './ledger-audit.ts'
import { partitionCountOf, readInOrder } from './ledger-reading.ts'

export type Manifest = {
  version: 1
  sha256: string
  cursors: number
  /** Which ledger it was; missing in a backup of a version that had no identity. */
  ledger?: string
  /** The deployment has operators of its own: two of them sign the backup before it is restored. */
  needsSignatures?: true
  /** Of the ledger, up to the last message in the backup. */
  audit: AuditResult
}

/** How a restored ledger differs from the one that was backed up. */
export type Restoring = {
  /**
   * Random: tells the restored ledger from the one of the backup, whose later messages it lacks.
   */
  incarnation: string
  /** Of the buckets that cursors and snapshots are brought into. */
  bucketSuffix: string
  /** Gives a ledger whose backup has no identity the one that its data directory knows. */
  knownLedger?: string | undefined
  /** Names the stream when all of it is there. */
  label?: (identity: LedgerIdentity) => Promise<void>
}

export type BackupPorts = { ledger: Ledger; cursors: CursorStore; snapshots: SnapshotStore }

const headBytes = 4 + 8 + 2 + 4
const subjectBytesMax = 1_024
const dataBytesMax = 16 * 1024 ** 2
const cursorPrefix = 'cursor.'
const snapshotPrefix = 'snapshot.'
const snapshotSubjectPrefix = 'meta.snapshot-'
/** Stands where a message was that is not in the backup, until all is written. */
const gapSubject = 'meta.gap'
const attemptsMax = 5
/** Everything that a ledger holds. */
const subjects = ['log.*', 'lease.*', 'meta.*', directorySubjects] as const
/** Messages and octets of one commit while restoring. */
const batchMessagesMax = 200
const batchBytesMax = 4 * 1024 ** 2

const places = (folder: string) => ({
  records: join(folder, 'ledger.backup'),
  manifest: join(folder, 'manifest.json'),
})

function recordOf(sequence: number, subject: string, data: Uint8Array): Buffer {
  const name = Buffer.from(subject, 'utf8')
  const record = Buffer.allocUnsafe(headBytes + name.length + data.length)
  record.writeBigUInt64BE(BigInt(sequence), 4)
  record.writeUInt16BE(name.length, 12)
  record.writeUInt32BE(data.length, 14)
  record.set(name, headBytes)
  record.set(data, headBytes + name.length)
  record.writeUInt32BE(crc32(record.subarray(4)), 0)
  return record
}

/**
 * Writes a backup of everything that is in the ledger at this moment into `folder`, which must not
 * hold one.
 * @throws BrokerError CONFIG_INVALID when it does, BROKER_LEDGER_UNAVAILABLE
 */
export async function backup(
  { ledger, cursors, snapshots }: BackupPorts,
  folder: string,
  { needsSignatures = false }: { needsSignatures?: boolean } = {},
): Promise<Manifest> {
  const { records, manifest } = places(folder)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (existsSync(manifest) || existsSync(records))
    throw new BrokerError('CONFIG_INVALID', `${folder} holds a backup already`)
  for (let attempt = 1; ; attempt++) {
    const made = await tryBackup({ ledger, cursors, snapshots }, records)
    if (typeof made !== 'string') {
      const whole: Manifest = needsSignatures ? { ...made, needsSignatures: true } : made
      writePrivateFile(manifest, `${JSON.stringify(whole, undefined, 2)}\n`)
      return whole
    }
    rmSync(records)
    if (attempt === attemptsMax) throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', made)
  }
}

/** The last message of each subject of records, with those of the directory. */
async function recordsNow(
  ledger: Ledger,
  trimmedSequence: number,
): Promise<ReadonlyMap<string, LedgerMessage>> {
  const newest = new Map<string, LedgerMessage>()
  const take = (message: LedgerMessage): void => void newest.set(message.subject, message)
  await ledger.read('meta.*', 1, (message) => {
    const { subject, sequence } = message
    if (partitionOfLetters(subject) !== undefined) return
    if (subject !== trimSubject || sequence === trimmedSequence) take(message)
  })
  await ledger.read(directorySubjects, 1, take)
  return newest
}

/** @returns why it must be begun again: what it had read was replaced or forgotten meanwhile */
async function tryBackup(
  { ledger, cursors, snapshots }: BackupPorts,
  records: string,
): Promise<Manifest | string> {
  const file = createWriteStream(records, { mode: 0o600, flush: true })
  const hash = createHash('sha256')
  const write = async (record: Buffer): Promise<void> => {
    hash.update(record)
    if (!file.write(record)) await once(file, 'drain')
  }
  const end = async (): Promise<void> => {
    file.end()
    await once(file, 'close')
  }
  // Cursors first: one that is older than the ledger repeats a delivery, a newer one would skip
  // some.
  const cursorNames = await cursors.names()
  for (const name of cursorNames) {
    const value = await cursors.get(name)
    if (value !== undefined) await write(recordOf(0, cursorPrefix + name, value))
  }
  const trimmed = await trimRecordOf(ledger)
  const directoryEnd = await ledger.lastOn(directorySubjects)
  const newest = await recordsNow(ledger, trimmed.sequence)
  try {
    for (const { subject, data } of newest.values()) {
      if (!subject.startsWith(snapshotSubjectPrefix)) continue
      const { name } = decodeSnapshotRecord(data)
      await snapshots.get(name, (chunk) => write(recordOf(0, snapshotPrefix + name, chunk)))
    }
  } catch (fault) {
    await end()
    if (!(fault instanceof BrokerError && fault.code === 'SNAPSHOT_DAMAGED')) throw fault
    return `a snapshot was replaced while it was read, or is damaged: ${fault.detail}`
  }
  const audit = new LedgerAudit(trimmed, undefined, await partitionCountOf(ledger))
  for await (const message of inOrder(ledger, trimmed.through + 1)) {
    const { sequence, subject, data } = message
    audit.read(message)
    const isLetters = partitionOfLetters(subject) !== undefined
    // Records are those of the beginning: what they name is in the backup.
    if (subject.startsWith('directory.')) continue
    if (subject.startsWith('meta.') && !isLetters) continue
    // Still there, though a snapshot holds what they led to.
    if (isLetters && sequence <= trimmed.through) continue
    await write(recordOf(sequence > trimmed.through ? sequence : 0, subject, data))
  }
  for (const { subject, data } of newest.values()) await write(recordOf(0, subject, data))
  await end()
  if ((await trimRecordOf(ledger)).through !== trimmed.through)
    return 'ticks were forgotten while they were read'
  if ((await ledger.lastOn(directorySubjects))?.sequence !== directoryEnd?.sequence)
    return 'the directory was changed while it was read'
  const sha256 = hash.digest('hex')
  const record = newest.get(deploymentSubject)
  const id = record && decodeDeployment(record.data).identity?.id
  return {
    version: 1,
    sha256,
    cursors: cursorNames.length,
    ...(id !== undefined && { ledger: id }),
    audit: audit.result(),
  }
}

/**
 * Sequence of the last message of now, and all messages but ticks. The last message ends a commit,
 * so that a tick has all its letters; and no letter is missing that a tick behind it decided.
 */
async function recordsOf(ledger: Ledger): Promise<{ last: number; others: LedgerMessage[] }> {
  for (;;) {
    // A tick comes before its letters: asked for them last, none is cut off.
    let last = 0
    for (const subject of subjects)
      last = Math.max(last, (await ledger.lastOn(subject))?.sequence ?? 0)
    const others: LedgerMessage[] = []
    for (const subject of subjects.slice(1))
      await ledger.read(subject, 1, (message) => void others.push(message))
    others.sort((a, b) => a.sequence - b.sequence)
    // Letters are forgotten behind a snapshot: it may only hold ticks that are in the backup.
    let isAhead = false
    await ledger.read('meta.*', last + 1, ({ subject, data }) => {
      if (subject.startsWith(snapshotSubjectPrefix))
        isAhead ||= decodeSnapshotRecord(data).sequence > last
    })
    if (!isAhead) return { last, others }
  }
}

/**
 * Every message up to the last tick or lease of now, by sequence: one reader a kind of subject,
 * merged.
 */
async function* inOrder(ledger: Ledger, fromSequence: number): AsyncGenerator<LedgerMessage> {
  const { last, others } = await recordsOf(ledger)
  const queue: LedgerMessage[] = []
  let isOver = false
  let wake = (): void => {}
  let room = (): void => {}
  const reading = ledger
    .read(subjects[0], fromSequence, (message) => {
      queue.push(message)
      wake()
      if (queue.length >= batchMessagesMax) return new Promise<void>((resolve) => (room = resolve))
      return undefined
    })
    .finally(() => {
      isOver = true
      wake()
    })
  for (;;) {
    if (queue.length === 0 && !isOver) {
      await new Promise<void>((resolve) => (wake = resolve))
      continue
    }
    const next = queue[0]
    const other = others[0]
    if (other !== undefined && (next === undefined || other.sequence < next.sequence)) {
      others.shift()
      if (other.sequence <= last) yield other
    } else if (next !== undefined) {
      queue.shift()
      if (queue.length === 0) room()
      if (next.sequence <= last) yield next
    } else break
  }
  await reading
}

/** The manifest of a backup whose file is what it says. @throws BrokerError BACKUP_DAMAGED */
export async function readManifest(folder: string): Promise<Manifest> {
  const { records, manifest } = places(folder)
  let made: Manifest
  try {
    made = JSON.parse(readFileSync(manifest, 'utf8')) as Manifest
  } catch (cause) {
    throw new BrokerError('BACKUP_DAMAGED', `${manifest} cannot be read`, { cause })
  }
  if (made.version !== 1) throw new BrokerError('BACKUP_DAMAGED', `${manifest}: another version`)
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(records)) hash.update(chunk as Buffer)
  } catch (cause) {
    throw new BrokerError('BACKUP_DAMAGED', `${records} cannot be read`, { cause })
  }
  if (hash.digest('hex') !== made.sha256)
    throw new BrokerError('BACKUP_DAMAGED', `${records} is not what the manifest was written for`)
  return made
}

async function* recordsIn(path: string): AsyncGenerator<LedgerMessage> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 ** 2 })) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
    let at = 0
    while (rest.length - at >= headBytes) {
      const subjectBytes = rest.readUInt16BE(at + 12)
      const dataBytes = rest.readUInt32BE(at + 14)
      if (subjectBytes > subjectBytesMax || dataBytes > dataBytesMax)
        throw new BrokerError('BACKUP_DAMAGED', 'the length of a record')
      const end = at + headBytes + subjectBytes + dataBytes
      if (rest.length < end) break
      if (rest.readUInt32BE(at) !== crc32(rest.subarray(at + 4, end)))
        throw new BrokerError('BACKUP_DAMAGED', 'the checksum of a record')
      const dataAt = at + headBytes + subjectBytes
      yield {
        sequence: Number(rest.readBigUInt64BE(at + 4)),
        subject: rest.toString('utf8', at + headBytes, dataAt),
        data: rest.subarray(dataAt, end),
      }
      at = end
    }
    rest = rest.subarray(at)
  }
  if (rest.length > 0) throw new BrokerError('BACKUP_DAMAGED', 'a record is cut off')
}

/**
 * Brings the backup in `folder` into `ledger`, which must be empty with `firstSequenceOf` the
 * manifest as its first, and checks what is there then against the manifest.
 * @throws BrokerError BACKUP_DAMAGED, BROKER_LEDGER_FULL, BROKER_LEDGER_UNAVAILABLE
 */
export async function restore(
  { ledger, cursors, snapshots }: BackupPorts,
  folder: string,
  restoring: Restoring = { incarnation: newIncarnation(), bucketSuffix: '' },
): Promise<AuditResult> {
  const manifest = await readManifest(folder)
  const writer = new LedgerWriter(ledger, firstSequenceOf(manifest))
  const late: LedgerEntry[] = []
  const records = recordsIn(places(folder).records)
  let next = await records.next()
  while (next.done !== true) {
    const { sequence, subject, data } = next.value
    if (subject.startsWith(snapshotPrefix)) {
      await snapshots.put(subject.slice(snapshotPrefix.length), octetsOf(subject))
      continue
    }
    if (subject.startsWith(cursorPrefix))
      await cursors.put(subject.slice(cursorPrefix.length), data)
    else if (sequence === 0) late.push({ subject, data })
    else await writer.writeAt(sequence, { subject, data })
    next = await records.next()
  }
  await writer.flush()
  let identity: LedgerIdentity | undefined
  for (const entry of late) {
    if (entry.subject === deploymentSubject) {
      const deployment = restoredDeployment(Buffer.from(entry.data), manifest, restoring)
      identity = deployment.identity
      await writer.write({ subject: deploymentSubject, data: encodeDeployment(deployment) })
    } else await writer.write(entry)
  }
  await writer.flush()
  await ledger.forget(gapSubject, Number.MAX_SAFE_INTEGER)
  const audit = new LedgerAudit(
    await trimRecordOf(ledger),
    undefined,
    await partitionCountOf(ledger),
  )
  await readInOrder(ledger, 1, (message) => audit.read(message))
  const found = audit.result()
  // An earlier version did not count letters.
  const { letters } = manifest.audit
  const restored = { ...found, ...(letters === undefined && { letters }) }
  if (JSON.stringify(restored) !== JSON.stringify(manifest.audit))
    throw new BrokerError('BACKUP_DAMAGED', 'what was restored is not what was backed up')
  if (identity !== undefined) await restoring.label?.(identity)
  return found

  /** Of the records of one snapshot, which follow one another. */
  async function* octetsOf(subject: string): AsyncGenerator<Uint8Array> {
    while (next.done !== true && next.value.subject === subject) {
      yield next.value.data
      next = await records.next()
    }
  }
}

const newIncarnation = (): string => systemRandom.bytes(16).toString('hex')

/**
 * The record of the deployment as it stands on the restored ledger: a new incarnation of the same
 * ledger. It is also the mark that invocation counters may have been used since the backup.
 */
function restoredDeployment(
  data: Buffer,
  { audit }: Manifest,
  { incarnation, bucketSuffix, knownLedger }: Restoring,
): Deployment {
  const { identity, ...kept } = decodeDeployment(data)
  const atMs = systemClock.now()
  const before = identity ?? {
    id: knownLedger ?? newIncarnation(),
    createdAtMs: atMs,
    incarnations: [],
  }
  const throughSequence = audit.lastSequence
  return {
    ...kept,
    bucketSuffix,
    identity: withIncarnation(before, { id: incarnation, kind: 'restored', atMs, throughSequence }),
  }
}

/** Of the ledger that a backup is to be restored into. */
export const firstSequenceOf = ({ audit }: Manifest): number => audit.forgottenThrough + 1

/** Writes in large commits, each message at the sequence it is to have. */
class LedgerWriter {
  private readonly ledger: Ledger
  private batch: LedgerEntry[] = []
  private batchBytes = 0
  private nextSequence: number

  constructor(ledger: Ledger, firstSequence: number) {
    this.ledger = ledger
    this.nextSequence = firstSequence
  }

  async writeAt(sequence: number, entry: LedgerEntry): Promise<void> {
    if (sequence < this.nextSequence)
      throw new BrokerError('BACKUP_DAMAGED', `sequence ${sequence} after ${this.nextSequence - 1}`)
    while (this.nextSequence < sequence)
      await this.write({ subject: gapSubject, data: Buffer.alloc(0) })
    await this.write(entry)
  }

  async write(entry: LedgerEntry): Promise<void> {
    this.nextSequence++
    this.batch.push(entry)
    this.batchBytes += entry.data.length
    if (this.batch.length >= batchMessagesMax || this.batchBytes >= batchBytesMax)
      await this.flush()
  }

  async flush(): Promise<void> {
    if (this.batch.length === 0) return
    const expected = this.nextSequence - this.batch.length
    const outcome = await this.ledger.commit(this.batch)
    if (outcome.refused !== undefined)
      throw new BrokerError(
        outcome.refused === 'full' ? 'BROKER_LEDGER_FULL' : 'BROKER_LEDGER_UNAVAILABLE',
        `at sequence ${expected}: ${outcome.detail}`,
      )
    if (outcome.firstSequence !== expected)
      throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'somebody else writes to this ledger')
    this.batch = []
    this.batchBytes = 0
  }
}
