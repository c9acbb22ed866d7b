/**
 * A deployment's ledger and cursors as one file, taken while it runs, and brought back with the same sequences (delivery ids are made
 * of them). Local stores are caches and not in it.
 *
 *   ledger.backup   records: crc32 u32 of what follows | sequence u64 | subject length u16 | data length u32 | subject | data
 *   manifest.json   how many, how far, where each chain ends, and the file's SHA-256; written last, so a backup without it is none
 *
 * Integers are big-endian; a cursor is a record `cursor.<name>` with sequence 0.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { CursorBucket } from '../../core/ledger/cursors.ts'
import { writePrivateFile } from '../../core/ops/nats-settings.ts'
import type { Ledger, LedgerEntry, LedgerMessage } from '../../core/ports/ledger.ts'
import { LedgerAudit, type AuditResult } from './ledger-audit.ts'

export type Manifest = {
  version: 1
  sha256: string
  cursors: number
  /** Of the ledger, up to the last message in the backup. */
  audit: AuditResult
}

const headBytes = 4 + 8 + 2 + 4
const subjectBytesMax = 1_024
const dataBytesMax = 16 * 1024 ** 2
const cursorPrefix = 'cursor.'
/** Everything that a ledger holds. */
const subjects = ['log.*', 'lease.*', 'meta.*'] as const
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
 * Writes a backup of everything that is in the ledger at this moment into `folder`, which must not hold one.
 * @throws BrokerError CONFIG_INVALID when it does, BROKER_LEDGER_UNAVAILABLE
 */
export async function backup(
  ledger: Ledger,
  cursors: CursorBucket,
  folder: string,
): Promise<Manifest> {
  const { records, manifest } = places(folder)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (existsSync(manifest) || existsSync(records))
    throw new BrokerError('CONFIG_INVALID', `${folder} holds a backup already`)
  // Cursors first: one that is older than the ledger repeats a delivery, a newer one would skip some.
  const names = await cursors.names()
  const saved: Array<[string, Uint8Array]> = []
  for (const name of names) {
    const value = await cursors.get(name)
    if (value !== undefined) saved.push([name, value])
  }
  const file = createWriteStream(records, { mode: 0o600, flush: true })
  const hash = createHash('sha256')
  const write = async (record: Buffer): Promise<void> => {
    hash.update(record)
    if (!file.write(record)) await once(file, 'drain')
  }
  const audit = new LedgerAudit()
  for await (const message of inOrder(ledger)) {
    audit.read(message)
    await write(recordOf(message.sequence, message.subject, message.data))
  }
  for (const [name, value] of saved) await write(recordOf(0, cursorPrefix + name, value))
  file.end()
  await once(file, 'close')
  const made: Manifest = {
    version: 1,
    sha256: hash.digest('hex'),
    cursors: saved.length,
    audit: audit.result(),
  }
  writePrivateFile(manifest, `${JSON.stringify(made, undefined, 2)}\n`)
  return made
}

/** Every message up to the last tick or lease of now, by sequence: one reader a kind of subject, merged. */
async function* inOrder(ledger: Ledger): AsyncGenerator<LedgerMessage> {
  const ends = await Promise.all(subjects.map((subject) => ledger.lastOn(subject)))
  const last = Math.max(0, ...ends.map((end) => end?.sequence ?? 0))
  const others: LedgerMessage[] = []
  for (const subject of subjects.slice(1))
    await ledger.read(subject, 1, (message) => void others.push(message))
  others.sort((a, b) => a.sequence - b.sequence)
  const queue: LedgerMessage[] = []
  let isOver = false
  let wake = (): void => {}
  let room = (): void => {}
  const reading = ledger
    .read(subjects[0], 1, (message) => {
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
 * Brings the backup in `folder` into `ledger`, which must be empty, and checks what is there then against the manifest.
 * @throws BrokerError BACKUP_DAMAGED, BROKER_LEDGER_FULL, BROKER_LEDGER_UNAVAILABLE
 */
export async function restore(
  ledger: Ledger,
  cursors: CursorBucket,
  folder: string,
): Promise<AuditResult> {
  const { audit: wanted } = await readManifest(folder)
  let batch: LedgerEntry[] = []
  let batchBytes = 0
  let nextSequence = 1
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return
    const expected = nextSequence - batch.length
    const outcome = await ledger.commit(batch)
    if (outcome.refused === 'full')
      throw new BrokerError('BROKER_LEDGER_FULL', `at sequence ${expected}: ${outcome.detail}`)
    if (outcome.refused !== undefined)
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        `at sequence ${expected}: ${outcome.detail}`,
      )
    if (outcome.firstSequence !== expected)
      throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'somebody else writes to this ledger')
    batch = []
    batchBytes = 0
  }
  for await (const { sequence, subject, data } of recordsIn(places(folder).records)) {
    if (subject.startsWith(cursorPrefix)) {
      await cursors.put(subject.slice(cursorPrefix.length), data)
      continue
    }
    if (sequence !== nextSequence)
      throw new BrokerError('BACKUP_DAMAGED', `sequence ${nextSequence} is missing`)
    nextSequence++
    batch.push({ subject, data })
    batchBytes += data.length
    if (batch.length >= batchMessagesMax || batchBytes >= batchBytesMax) await flush()
  }
  await flush()
  const audit = new LedgerAudit()
  for await (const message of inOrder(ledger)) audit.read(message)
  const found = audit.result()
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new BrokerError('BACKUP_DAMAGED', 'what was restored is not what was backed up')
  return found
}
