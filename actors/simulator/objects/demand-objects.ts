/**
 * Demand: the average of the present and of the last period (class 5), and the highest of the month
 * with its time (class 4); worked out of the load curve when asked for. [IEC 62056-6-2, Demand
 * register, Extended register]
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { classObject } from './class-object.ts'
import { encodedUint8Zero, type SimulatedObject } from './cosem-object.ts'
import { halfHourMs } from '../model/load-curve.ts'
import { dateTime, uint32 } from './measuring-objects.ts'
import type { MeterState } from '../model/meter-state.ts'

const periodSeconds = halfHourMs / 1_000
const hourMs = 3_600_000
const watt = { scaler: 0, unit: 'W' }

/** W on average between two moments; 0 for a moment. */
const averageOf = (meter: MeterState, fromMs: number, toMs: number): number =>
  toMs <= fromMs
    ? 0
    : Math.round(((meter.loadAt(toMs) - meter.loadAt(fromMs)) * hourMs) / (toMs - fromMs))

type Period = { fromMs: number; lastAverage: number; capturedMs: number }

/** Periods begin at whole half hours, unless a client began the present one. */
function periodAt(meter: MeterState, nowMs: number): Period {
  const fromMs = Math.floor(nowMs / halfHourMs) * halfHourMs
  const kept = meter.changes?.demand
  if (kept !== undefined && kept.fromMs >= fromMs) return kept
  const lastFromMs = Math.max(fromMs - halfHourMs, kept?.fromMs ?? 0)
  return { fromMs, lastAverage: averageOf(meter, lastFromMs, fromMs), capturedMs: fromMs }
}

const demand = classObject({
  obis: '1-0:1.4.0.255',
  classId: 5,
  attributes: {
    current_average_value: (meter, nowMs) =>
      uint32(averageOf(meter, periodAt(meter, nowMs).fromMs, nowMs)),
    last_average_value: (meter, nowMs) => uint32(periodAt(meter, nowMs).lastAverage),
    scaler_unit: watt,
    status: { axdr: 'unsigned', value: 0 },
    capture_time: (meter, nowMs) => dateTime(periodAt(meter, nowMs).capturedMs),
    start_time_current: (meter, nowMs) => dateTime(periodAt(meter, nowMs).fromMs),
    period: periodSeconds,
    number_of_periods: 1,
  },
  methods: {
    reset(meter, _zero, nowMs) {
      meter.changesOrNew().demand = { fromMs: nowMs, lastAverage: 0, capturedMs: nowMs }
      return ActionResult.SUCCESS
    },
    next_period(meter, _zero, nowMs) {
      const lastAverage = averageOf(meter, periodAt(meter, nowMs).fromMs, nowMs)
      meter.changesOrNew().demand = { fromMs: nowMs, lastAverage, capturedMs: nowMs }
      return ActionResult.SUCCESS
    },
  },
})

/** The highest half hour of the month, or since it was reset. */
export function highestDemand(meter: MeterState, nowMs: number): { watts: number; atMs: number } {
  const now = new Date(nowMs)
  const monthMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth())
  const sinceMs = Math.max(monthMs, meter.changes?.highestSinceMs ?? 0, meter.putInAtMs)
  let highest = { watts: 0, atMs: sinceMs }
  const first = Math.ceil(sinceMs / halfHourMs) * halfHourMs
  let before = meter.loadAt(first)
  for (let toMs = first + halfHourMs; toMs <= nowMs; toMs += halfHourMs) {
    const after = meter.loadAt(toMs)
    if ((after - before) * 2 > highest.watts) highest = { watts: (after - before) * 2, atMs: toMs }
    before = after
  }
  return highest
}

const maximum = classObject({
  obis: '1-0:1.6.0.255',
  classId: 4,
  attributes: {
    value: (meter, nowMs) => uint32(highestDemand(meter, nowMs).watts),
    scaler_unit: watt,
    status: (): Buffer => encodedUint8Zero,
    capture_time: (meter, nowMs) => dateTime(highestDemand(meter, nowMs).atMs),
  },
  methods: {
    reset(meter, _zero, nowMs) {
      meter.changesOrNew().highestSinceMs = nowMs
      return ActionResult.SUCCESS
    },
  },
})

export const demandObjects: readonly SimulatedObject[] = [demand, maximum]
