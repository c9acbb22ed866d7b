/**
 * What a source says of itself, to operators and to the process that applies its files: the body of
 * a SOURCE envelope; and its state in stores and snapshots, which are the same octets. And its
 * record in the directory, of which every process has a copy: which sources there are, and how old
 * their data are.
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { newSource, type FileStage, type SourceState } from './source-state.ts'
import { packTree, readTree } from './versioned-tree.ts'

export const encodeSourceReport = (state: SourceState): Buffer => packTree(state)

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export const decodeSourceReport = (view: Uint8Array): SourceState =>
  readTree(view, 'a source', ([state]) => ({ ...newSource, ...(state as SourceState) }))

/** Times are UTC ms, 0 for never. */
export type SourceRecord = {
  readonly taken: number
  readonly held: number
  readonly stage?: FileStage
  /** When the newest file that was applied was created, and applied. */
  readonly createdMs: number
  readonly appliedAtMs: number
  /** When its first file came. */
  readonly sinceMs: number
}

const recordVersion = 1

export const sourceRecordOf = ({
  taken,
  held,
  open,
  createdMs,
  appliedAtMs,
  sinceMs,
}: SourceState): SourceRecord => ({
  taken,
  held: held.length,
  ...(open && { stage: open.stage }),
  createdMs,
  appliedAtMs,
  sinceMs,
})

/** JSON: small, changes seldom, and people read it in an emergency. */
export const encodeSourceRecord = (record: SourceRecord): Buffer =>
  Buffer.from(JSON.stringify({ version: recordVersion, ...record }), 'utf8')

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export function decodeSourceRecord(view: Uint8Array): SourceRecord {
  const { version, ...record } = objectIn(view)
  if (typeof version === 'number' && version > recordVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `a record of a source of version ${version}`)
  const numbers = ['taken', 'held', 'createdMs', 'appliedAtMs', 'sinceMs']
  if (!numbers.every((name) => Number.isSafeInteger(record[name])))
    throw new BrokerError('ENVELOPE_MALFORMED', 'a record of a source')
  return record as SourceRecord
}

/** Empty when it is something else. */
function objectIn(view: Uint8Array): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(asBuffer(view).toString('utf8'))
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  } catch {
    // The caller says that it is no record.
  }
  return {}
}

/** Since when the data of a source are as they are: its newest file, or its first sign. UTC ms. */
export const dataSinceMs = ({
  createdMs,
  appliedAtMs,
  sinceMs,
}: Pick<SourceRecord, 'createdMs' | 'appliedAtMs' | 'sinceMs'>): number =>
  appliedAtMs === 0 ? sinceMs : Math.min(createdMs, appliedAtMs)
