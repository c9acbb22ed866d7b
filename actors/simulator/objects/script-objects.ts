/**
 * What a meter does by scripts (class 9) and when (class 22). A schedule that a client has set is
 * waited for with one timer a schedule; meters that nobody told anything wait for nothing. [IEC
 * 62056-6-2, Script table, Single action schedule]
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { encodeDescriptor } from '../../../core/dlms/apdu/descriptor.ts'
import type { Json } from '../../../core/dlms/cosem/index.ts'
import { formatObis } from '../../../core/dlms/axdr/obis.ts'
import { classObject, type ClassObject } from './class-object.ts'
import { encoded, type SimulatedObject } from './cosem-object.ts'
import type { MeterState } from '../model/meter-state.ts'

type Action = { classId: number; obis: string; method: number; parameter?: Json }

/** Scripts that call scripts; deeper they are refused. */
const nestingMax = 4
let nesting = 0

function scriptTable(obis: string, scripts: { readonly [selector: number]: Action }): ClassObject {
  const table: ClassObject = classObject({
    obis,
    classId: 9,
    attributes: {
      scripts: Object.entries(scripts).map(
        ([selector, { classId, obis: of, method, parameter }]) => ({
          script_identifier: Number(selector),
          actions: [
            {
              service_id: 'execute_method',
              class_id: classId,
              logical_name: of,
              index: method,
              parameter: parameter ?? { axdr: 'integer', value: 0 },
            },
          ],
        }),
      ),
    },
    writable: ['scripts'],
    methods: {
      execute: (meter, selector) =>
        execute(meter, table.shown(meter, 'scripts'), (selector as { value: number }).value),
    },
  })
  return table
}

/** Ends with the first action that is refused. */
function execute(meter: MeterState, scripts: Buffer, selector: number): number {
  const script = elementsOf(decodeValue(scripts)).find(
    (each) => numberOf(elementsOf(each)[0]) === selector,
  )
  if (script === undefined) return ActionResult.OTHER_REASON
  if (nesting === nestingMax) return ActionResult.SCOPE_OF_ACCESS_VIOLATED
  nesting++
  try {
    for (const action of elementsOf(elementsOf(script)[1])) {
      const result = act(meter, elementsOf(action))
      if (result !== ActionResult.SUCCESS) return result
    }
    return ActionResult.SUCCESS
  } finally {
    nesting--
  }
}

function act(meter: MeterState, [service, classId, name, index, parameter]: AxdrValue[]): number {
  if (name?.tag !== Tag.OCTET_STRING) return ActionResult.TYPE_UNMATCHED
  const descriptor = encodeDescriptor({
    classId: numberOf(classId),
    instanceId: formatObis(name.value),
    memberId: numberOf(index),
  })
  const value = encodeValue(parameter!)
  return numberOf(service) === 1
    ? meter.set(descriptor, undefined, value)
    : meter.invoke(descriptor, value).result
}

/** Runs a script by the table's name; gives an action-result. */
export function runScript(meter: MeterState, table: Buffer, selector: number): number {
  const descriptor = Buffer.concat([Buffer.of(0, 9), table, Buffer.of(1)])
  return meter.invoke(
    descriptor,
    encoded((w) => w.uint16(selector)),
  ).result
}

/** Runs what a value of type script says; a selector of 0 says nothing. */
export function runScriptIn(meter: MeterState, script: AxdrValue | undefined): void {
  const [table, selector] = elementsOf(script)
  if (table?.tag === Tag.OCTET_STRING && numberOf(selector) > 0)
    void runScript(meter, table.value, numberOf(selector))
}

// ── schedules ──

/** What is to be done later than that is not waited for. */
const aheadDaysMax = 400
const dayMs = 86_400_000

function schedule(obis: string, table: string): ClassObject {
  const object: ClassObject = classObject({
    obis,
    classId: 22,
    attributes: {
      executed_script: { script_logical_name: table, script_selector: 1 },
      type: 'same_times_may_have_wildcards',
      execution_time: [],
    },
    writable: ['executed_script', 'type', 'execution_time'],
    written: (meter, _name, nowMs) => planNext(meter, object, nowMs),
  })
  return object
}

function planNext(meter: MeterState, object: ClassObject, nowMs: number): void {
  const times = elementsOf(decodeValue(object.shown(meter, 'execution_time')))
  const ms = nextOf(times, nowMs)
  meter.plan(formatObis(object.obisBytes), ms, () => {
    runScriptIn(meter, decodeValue(object.shown(meter, 'executed_script')))
    planNext(meter, object, meter.model.clock.now())
  })
}

/** The first moment after `nowMs` that one of the times names, UTC ms. */
export function nextOf(times: readonly AxdrValue[], nowMs: number): number | undefined {
  let next: number | undefined
  for (const entry of times) {
    const [time, date] = elementsOf(entry)
    if (time?.tag !== Tag.OCTET_STRING || date?.tag !== Tag.OCTET_STRING) continue
    const at = nextOfOne(time.value, date.value, nowMs)
    if (at !== undefined && (next === undefined || at < next)) next = at
  }
  return next
}

function nextOfOne(time: Buffer, date: Buffer, nowMs: number): number | undefined {
  const [hour = 0xff, minute = 0xff, second = 0xff] = time
  // Wildcards in the time of day would have it done again and again.
  if (hour > 23 || minute > 59) return undefined
  const ofDayMs = (hour * 3_600 + minute * 60 + (second > 59 ? 0 : second)) * 1_000
  const today = Math.floor(nowMs / dayMs)
  for (let day = today; day <= today + aheadDaysMax; day++) {
    const atMs = day * dayMs + ofDayMs
    if (atMs > nowMs && isOn(date, atMs)) return atMs
  }
  return undefined
}

/**
 * True when the five octets of a date name the day of that moment, wildcards and last days
 * included.
 */
export function isOn(date: Buffer, utcMs: number): boolean {
  const at = new Date(utcMs)
  const [month, dayOfMonth, dayOfWeek] = [date[2]!, date[3]!, date[4]!]
  const year = date.readUInt16BE(0)
  const weekday = at.getUTCDay() === 0 ? 7 : at.getUTCDay()
  const daysInMonth = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 0)).getUTCDate()
  const wanted =
    dayOfMonth === 0xfe ? daysInMonth : dayOfMonth === 0xfd ? daysInMonth - 1 : dayOfMonth
  // The last one of a weekday is among the last seven days.
  const isDay =
    dayOfMonth === 0xfe && dayOfWeek !== 0xff
      ? at.getUTCDate() > daysInMonth - 7
      : wanted === 0xff || wanted === at.getUTCDate()
  return (
    (year === 0xffff || year === at.getUTCFullYear()) &&
    (month === 0xff || month === at.getUTCMonth() + 1) &&
    isDay &&
    (dayOfWeek === 0xff || dayOfWeek === weekday)
  )
}

export const elementsOf = (value: AxdrValue | undefined): AxdrValue[] =>
  value !== undefined && 'elements' in value ? value.elements : []
export const numberOf = (value: AxdrValue | undefined): number =>
  value !== undefined && 'value' in value && typeof value.value === 'number' ? value.value : -1

// ── those that meters have ──

export const disconnectScripts = '0-0:10.0.106.255'
const imageScripts = '0-0:10.0.107.255'
const pushScripts = '0-0:10.0.108.255'
const billingScripts = '0-0:10.0.1.255'

/** Of every meter. */
export const scriptObjects: readonly SimulatedObject[] = [
  scriptTable(disconnectScripts, {
    1: { classId: 70, obis: '0-0:96.3.10.255', method: 1 },
    2: { classId: 70, obis: '0-0:96.3.10.255', method: 2 },
  }),
  scriptTable(pushScripts, { 1: { classId: 40, obis: '0-0:25.9.0.255', method: 1 } }),
  schedule('0-0:15.0.1.255', disconnectScripts),
  schedule('0-0:15.0.4.255', pushScripts),
]

/** Of electricity meters, which have images and billing periods. */
export const electricityScripts: readonly SimulatedObject[] = [
  scriptTable(imageScripts, { 1: { classId: 18, obis: '0-0:44.0.0.255', method: 4 } }),
  scriptTable(billingScripts, { 1: { classId: 7, obis: '1-0:98.1.0.255', method: 2 } }),
  schedule('0-0:15.0.0.255', billingScripts),
  schedule('0-0:15.0.2.255', imageScripts),
]
