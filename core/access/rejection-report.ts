/**
 * What a process tells the actor of a party of rejections that no device has decided: the body of a
 * REJECTIONS_REPORT envelope. MessagePack `[version, reporter 8, number, [[originator 8, counter
 * 8, srv, outcome, time, body], …], [[outcome, caller, from, to, count], …]]`.
 *
 * A report may come twice, because its answer may be lost: reporter and number stand in each fact
 * that it leads to, and a reader of the ledger takes a number of a reporter once.
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { readRequestCounter } from '../base/counter.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import type { Srv } from '../base/srv.ts'
import { packTree, readTree } from '../registration/versioned-tree.ts'
import { rejectionBody, rejectionIn, type Rejection } from './rejection.ts'

/** From where somebody calls whom Busbar does not know; empty for a known party. */
export const Caller = ['', 'ipv4', 'ipv6'] as const
export type Caller = (typeof Caller)[number]

/** Rejections that were not recorded one by one. */
export type RejectionCount = {
  /** Row of the error table. */
  readonly outcome: number
  readonly caller: Caller
  /** UTC ms; `to` is after the last one. */
  readonly fromMs: number
  readonly toMs: number
  readonly count: number
}

/** Names a report among all. */
export type ReportName = {
  /** Eight octets, drawn by a process when it starts. */
  readonly reporter: Eui64
  /** Rises. */
  readonly number: number
}

export type RejectionReport = ReportName & {
  readonly rejections: readonly Rejection[]
  readonly counts: readonly RejectionCount[]
}

type PackedRejection = [Uint8Array, Uint8Array, number, number, number, Uint8Array]
type PackedCount = [outcome: number, caller: number, fromMs: number, toMs: number, count: number]

const octets = (key: string): Buffer => Buffer.from(key, 'latin1')

const packedCount = ({ outcome, caller, fromMs, toMs, count }: RejectionCount): PackedCount => [
  outcome,
  Caller.indexOf(caller),
  fromMs,
  toMs,
  count,
]

function countIn([outcome, caller, fromMs, toMs, count]: PackedCount): RejectionCount {
  const known = Caller[caller]
  if (known === undefined || ![outcome, fromMs, toMs, count].every(Number.isSafeInteger))
    throw new BrokerError('ENVELOPE_MALFORMED', 'a count of rejections')
  return { outcome, caller: known, fromMs, toMs, count }
}

export const encodeRejectionReport = (report: RejectionReport): Buffer =>
  packTree(
    octets(report.reporter),
    report.number,
    report.rejections.map((one): PackedRejection => {
      const { originator, counter, srv, outcome, time } = one
      return [octets(originator), octets(counter), srv, outcome, time, rejectionBody(one)]
    }),
    report.counts.map(packedCount),
  )

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const decodeRejectionReport = (view: Uint8Array): RejectionReport =>
  readTree(view, 'a report of rejections', (members) => {
    const [reporter, number, rejections, counts] = members as [
      Uint8Array,
      number,
      PackedRejection[],
      PackedCount[],
    ]
    const isWhole = reporter.length === 8 && Number.isSafeInteger(number)
    if (!isWhole || rejections.length > limits.rejectionsPerReportMax)
      throw new BrokerError('ENVELOPE_MALFORMED', 'a report of rejections')
    return {
      reporter: readEui64(reporter),
      number,
      rejections: rejections.map(([originator, counter, srv, outcome, time, body]) => {
        const named = {
          originator: readEui64(originator),
          counter: readRequestCounter(counter),
          srv: srv as Srv,
          outcome,
          time,
        }
        return rejectionIn(named, asBuffer(body)).rejection
      }),
      counts: counts.map(countIn),
    }
  })

/** The body of a fact REJECTIONS_COUNTED. */
export const countedBody = (count: RejectionCount, { reporter, number }: ReportName): Buffer =>
  packTree(packedCount(count), octets(reporter), number)

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export const readCounted = (view: Uint8Array): { count: RejectionCount; report: ReportName } =>
  readTree(view, 'a count of rejections', ([count, reporter, number]) => ({
    count: countIn(count as PackedCount),
    report: { reporter: readEui64(reporter as Uint8Array), number: Number(number) },
  }))

/** The report that a fact REJECTION_REPORTED comes from, behind `rejectionBody`. */
export const reportMembers = ({ reporter, number }: ReportName): unknown[] => [
  octets(reporter),
  number,
]
export const reportIn = ([reporter, number]: unknown[]): ReportName => ({
  reporter: readEui64(reporter as Uint8Array),
  number: Number(number),
})
