/**
 * What a meter watches: the power drawn against a limit (class 71), and a register against
 * thresholds (class 21). It looks once a minute, and only when a client has set something to look
 * for. [IEC 62056-6-2, Limiter, Register monitor]
 */
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { integerOfValue } from '../../../core/dlms/cosem/type.ts'
import { utcMsIn, utcZone } from '../../../core/dlms/axdr/local-time.ts'
import { classObject, valueOfOctets, type ClassObject } from './class-object.ts'
import { encodedFalse, encodedTrue, type SimulatedObject } from './cosem-object.ts'
import { EventCode } from '../model/event-log.ts'
import type { MeterState } from '../model/meter-state.ts'
import { disconnectScripts, elementsOf, numberOf, runScriptIn } from './script-objects.ts'

const lookEveryMs = 60_000
const power = { class_id: 3, logical_name: '1-0:1.7.0.255', attribute_index: 2 }
const watts = (value: number) => ({ axdr: 'double-long-unsigned', value })
/** As good as none: what no house draws. */
const noLimit = watts(0xffff_ffff)

/** What an attribute reference points at, when that is a number. */
function monitored(meter: MeterState, reference: Buffer): number | undefined {
  const [classId, name, attribute] = elementsOf(decodeValue(reference))
  if (name?.tag !== Tag.OCTET_STRING) return undefined
  const id = numberOf(classId)
  const descriptor = Buffer.concat([
    Buffer.of(id >> 8, id),
    name.value,
    Buffer.of(numberOf(attribute)),
  ])
  const value = meter.get(descriptor, undefined)
  return typeof value === 'number' ? undefined : integerOf(valueOfOctets(value))
}

function integerOf(value: AxdrValue | undefined): number | undefined {
  const integer = integerOfValue(value)
  return integer === undefined ? undefined : Number(integer)
}

// ── limiter ──

/**
 * Since when the value has been on its side of the threshold, and on which side the meter has
 * acted.
 */
type Watch = { isOver: boolean; sinceMs: number; hasActed: boolean }

function isEmergency(meter: MeterState, nowMs: number): boolean {
  const [id, from, seconds] = elementsOf(decodeValue(limiter.shown(meter, 'emergency_profile')))
  const groups = elementsOf(decodeValue(limiter.shown(meter, 'emergency_profile_group_id_list')))
  if (from?.tag !== Tag.OCTET_STRING || !groups.some((group) => numberOf(group) === numberOf(id)))
    return false
  const fromMs = utcMsIn(from.value, 0, utcZone)
  return fromMs !== undefined && nowMs >= fromMs && nowMs < fromMs + numberOf(seconds) * 1_000
}

const activeThreshold = (meter: MeterState, nowMs: number): Buffer =>
  limiter.shown(meter, isEmergency(meter, nowMs) ? 'threshold_emergency' : 'threshold_normal')

function lookAtLimit(meter: MeterState, nowMs: number, watch?: Watch): void {
  const limit = integerOf(valueOfOctets(activeThreshold(meter, nowMs)))
  const value = monitored(meter, limiter.shown(meter, 'monitored_value'))
  const isOver = limit !== undefined && value !== undefined && value > limit
  const now =
    watch?.isOver === isOver
      ? watch
      : { isOver, sinceMs: nowMs, hasActed: watch === undefined && !isOver }
  const [over, under] = elementsOf(decodeValue(limiter.shown(meter, 'actions')))
  const seconds = integerOf(
    valueOfOctets(
      limiter.shown(meter, isOver ? 'min_over_threshold_duration' : 'min_under_threshold_duration'),
    ),
  )!
  if (!now.hasActed && nowMs - now.sinceMs >= seconds * 1_000) {
    now.hasActed = true
    meter.record(isOver ? EventCode.LIMITER_EXCEEDED : EventCode.LIMITER_PASSED, nowMs)
    runScriptIn(meter, isOver ? over : under)
  }
  meter.plan('limiter', nowMs + lookEveryMs, () => lookAtLimit(meter, meter.model.clock.now(), now))
}

const limiter: ClassObject = classObject({
  obis: '0-0:17.0.0.255',
  classId: 71,
  attributes: {
    monitored_value: power,
    threshold_active: activeThreshold,
    threshold_normal: noLimit,
    threshold_emergency: noLimit,
    min_over_threshold_duration: 60,
    min_under_threshold_duration: 60,
    emergency_profile: {
      emergency_profile_id: 0,
      emergency_activation_time: '*-*-* *:*:*',
      emergency_duration: 0,
    },
    emergency_profile_group_id_list: [],
    emergency_profile_active: (meter, nowMs) =>
      isEmergency(meter, nowMs) ? encodedTrue : encodedFalse,
    actions: {
      action_over_threshold: { script_logical_name: disconnectScripts, script_selector: 1 },
      action_under_threshold: { script_logical_name: disconnectScripts, script_selector: 0 },
    },
  },
  writable: [
    'monitored_value',
    'threshold_normal',
    'threshold_emergency',
    'min_over_threshold_duration',
    'min_under_threshold_duration',
    'emergency_profile',
    'emergency_profile_group_id_list',
    'actions',
  ],
  written: (meter, _name, nowMs) => lookAtLimit(meter, nowMs),
})

// ── register monitor ──

function lookAtThresholds(meter: MeterState, nowMs: number, before?: number): void {
  const thresholds = elementsOf(decodeValue(registerMonitor.shown(meter, 'thresholds')))
  const actions = elementsOf(decodeValue(registerMonitor.shown(meter, 'actions')))
  const value = monitored(meter, registerMonitor.shown(meter, 'monitored_value'))
  if (before !== undefined && value !== undefined)
    thresholds.forEach((threshold, i) => {
      const at = integerOf(threshold)
      const [up, down] = elementsOf(actions[i])
      if (at === undefined) return
      if (before <= at && value > at) runScriptIn(meter, up)
      else if (before >= at && value < at) runScriptIn(meter, down)
    })
  meter.plan('register monitor', thresholds.length === 0 ? undefined : nowMs + lookEveryMs, () =>
    lookAtThresholds(meter, meter.model.clock.now(), value),
  )
}

const registerMonitor: ClassObject = classObject({
  obis: '0-0:16.0.0.255',
  classId: 21,
  attributes: { thresholds: [], monitored_value: power, actions: [] },
  writable: ['thresholds', 'monitored_value', 'actions'],
  // Thresholds are of the type of what is monitored.
  check: (_meter, name, value) =>
    name !== 'thresholds' || elementsOf(value).every((each) => integerOf(each) !== undefined)
      ? DataAccessResult.SUCCESS
      : DataAccessResult.TYPE_UNMATCHED,
  written: (meter, _name, nowMs) => lookAtThresholds(meter, nowMs),
})

export const monitorObjects: readonly SimulatedObject[] = [limiter, registerMonitor]
