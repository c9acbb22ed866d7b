/**
 * Anomaly detection: how much a party may send within a window of time. Over a threshold the excess
 * goes to quarantine. A record is what one party has, or what all parties have together; it stands
 * in the directory and comes from a thresholds file (thresholds-file.ts). Pure.
 *
 * Windows are fixed: hours are counted from 1970-01-01 UTC, so that a window of 24 hours is a day.
 */
import type { Eui64 } from '../base/eui64.ts'
import type { Srv } from '../base/srv.ts'
import { packTree, readTree } from '../registration/versioned-tree.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'

/** In the place of a party: thresholds over all parties, and limits on values. */
export const allParties = '\0'.repeat(8) as Eui64

/** A variant of its own, or every variant. */
export type Threshold = {
  /** 0 for every variant. */
  readonly srv: Srv | 0
  readonly hours: number
  /** So many are told to the party as a warning. */
  readonly warning: number
  /** So many pass; the excess goes to quarantine. */
  readonly quarantine: number
}

/** Values inside bodies that limits may be set on; how they are read: core/translate. */
export const LimitedField = ['tolerance_seconds', 'period_days', 'text_characters'] as const
export type LimitedField = (typeof LimitedField)[number]

/** A value of a body outside `min` to `max` sends the request to quarantine. */
export type ValueLimit = {
  readonly srv: Srv
  readonly field: LimitedField
  readonly min: number
  readonly max: number
}

export type ThresholdRules = {
  readonly thresholds: readonly Threshold[]
  readonly valueLimits: readonly ValueLimit[]
}

export type ThresholdRecord = ThresholdRules & {
  /** The number in the file that it comes from; a later file has a higher one. */
  readonly file: number
  /** SHA-256 of that file, hexadecimal. */
  readonly fileHash: string
  /** UTC ms; 0 in a change that is not decided yet. */
  readonly changedAtMs: number
  /** Who has loaded the file. */
  readonly by: string
}

const hourMs = 3_600_000

/** Number of the window that `atMs` lies in. */
export const windowAt = (hours: number, atMs: number): number => Math.floor(atMs / (hours * hourMs))

export const countsTo = ({ srv }: Pick<Threshold, 'srv'>, asked: Srv): boolean =>
  srv === 0 || srv === asked

/** True when a request for `srv` counts to one of the thresholds of a record. */
export const isCounted = (record: ThresholdRules | undefined, srv: Srv): boolean =>
  record?.thresholds.some((one) => countsTo(one, srv)) === true

type PackedThreshold = [srv: number, hours: number, warning: number, quarantine: number]
type PackedLimit = [srv: number, field: number, min: number, max: number]

/** At most `directoryRecordBytesMax`: the numbers of rows are limited by the reader of files. */
export const encodeThresholds = (record: ThresholdRecord): Buffer =>
  packTree(
    record.file,
    Buffer.from(record.fileHash, 'hex'),
    record.changedAtMs,
    record.by,
    record.thresholds.map((one): PackedThreshold => [
      one.srv,
      one.hours,
      one.warning,
      one.quarantine,
    ]),
    record.valueLimits.map((one): PackedLimit => [
      one.srv,
      LimitedField.indexOf(one.field),
      one.min,
      one.max,
    ]),
  )

/** @throws BrokerError FORMAT_VERSION_LATER, ENVELOPE_MALFORMED */
export function decodeThresholds(view: Uint8Array): ThresholdRecord {
  return readTree(view, 'thresholds of a party', (members) => {
    const [file, hash, changedAtMs, by, thresholds, valueLimits] = members as [
      number,
      Uint8Array,
      number,
      string,
      PackedThreshold[],
      PackedLimit[],
    ]
    const record = {
      file,
      fileHash: Buffer.from(hash).toString('hex'),
      changedAtMs,
      by,
      thresholds: thresholds.map(([srv, hours, warning, quarantine]) => ({
        srv: srv as Srv | 0,
        hours,
        warning,
        quarantine,
      })),
      valueLimits: valueLimits.map(([srv, field, min, max]) => ({
        srv: srv as Srv,
        field: LimitedField[field]!,
        min,
        max,
      })),
    }
    if (!isRecord(record)) throw new BrokerError('ENVELOPE_MALFORMED', 'thresholds of a party')
    return record
  })
}

const isWhole = (value: unknown, max: number): boolean =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max

function isRecord({ file, fileHash, by, thresholds, valueLimits }: ThresholdRecord): boolean {
  const { thresholdMax, thresholdHoursMax } = limits
  return (
    isWhole(file, limits.thresholdsFileNumberMax) &&
    fileHash.length === 64 &&
    typeof by === 'string' &&
    Buffer.byteLength(by) <= limits.operatorNameBytesMax &&
    thresholds.length <= limits.thresholdsPerPartyMax &&
    valueLimits.length <= limits.valueLimitsMax &&
    thresholds.every(
      ({ hours, warning, quarantine }) =>
        isWhole(hours, thresholdHoursMax) &&
        hours > 0 &&
        isWhole(warning, quarantine) &&
        isWhole(quarantine, thresholdMax),
    ) &&
    valueLimits.every(
      ({ field, min, max }) => field !== undefined && isWhole(max, 2 ** 32) && min <= max,
    )
  )
}
