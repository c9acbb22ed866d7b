/**
 * Unsolicited messages of a meter (class 40): the attributes in its list, to where it was told,
 * when the method is invoked or a script does so; again after a while when it did not arrive. [IEC
 * 62056-6-2, Push setup version 0]
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { utcMsIn, utcZone } from '../../../core/dlms/axdr/local-time.ts'
import { classObject, type ClassObject } from './class-object.ts'
import type { SimulatedObject } from './cosem-object.ts'
import type { MeterState } from '../model/meter-state.ts'
import { elementsOf, isOn, numberOf } from './script-objects.ts'

const octetsOf = (value: AxdrValue | undefined): Buffer =>
  value?.tag === Tag.OCTET_STRING ? value.value : Buffer.alloc(0)

/** The setups have one name, which is how scripts and notifications find them. */
const setups: { ESME?: ClassObject; gas?: ClassObject } = {}
const setupOf = (meter: MeterState): ClassObject =>
  (meter.type === 'ESME' ? setups.ESME : setups.gas)!

/**
 * The value of a notification: a structure of what the list names; null-data for what cannot be
 * read.
 */
export function pushedValue(meter: MeterState): Buffer {
  const list = elementsOf(decodeValue(setupOf(meter).shown(meter, 'push_object_list')))
  return encodeValue({
    tag: Tag.STRUCTURE,
    elements: list.map((entry) => {
      const [classId, name, attribute, index] = elementsOf(entry)
      const id = numberOf(classId)
      const value = meter.get(
        Buffer.concat([Buffer.of(id >> 8, id), octetsOf(name), Buffer.of(numberOf(attribute))]),
        undefined,
      )
      if (typeof value === 'number') return { tag: Tag.NULL }
      const whole = decodeValue(value)
      // Selective access to buffers is not for version 0.
      return numberOf(index) > 0
        ? (elementsOf(whole)[numberOf(index) - 1] ?? { tag: Tag.NULL })
        : whole
    }),
  })
}

function isWithin(window: AxdrValue, nowMs: number): boolean {
  const [start, end] = elementsOf(window).map(octetsOf)
  if (start?.length !== 12 || end?.length !== 12) return false
  const [fromMs, toMs] = [utcMsIn(start, 0, utcZone), utcMsIn(end, 0, utcZone)]
  if (fromMs !== undefined && toMs !== undefined) return nowMs >= fromMs && nowMs < toMs
  const minute = Math.floor(nowMs / 60_000) % 1_440
  const minuteOf = (octets: Buffer): number =>
    (octets[5]! > 23 ? 0 : octets[5]!) * 60 + (octets[6]! > 59 ? 0 : octets[6]!)
  return isOn(start.subarray(0, 5), nowMs) && minute >= minuteOf(start) && minute < minuteOf(end)
}

const tcp = 0

function push(meter: MeterState, nowMs: number): number {
  const setup = setupOf(meter)
  const shown = (name: string): AxdrValue => decodeValue(setup.shown(meter, name))
  const [transport, destination] = elementsOf(shown('send_destination_and_method'))
  const { send } = meter.model
  const target = octetsOf(destination).toString('latin1')
  if (send === undefined || numberOf(transport) !== tcp || target === '')
    return ActionResult.OTHER_REASON
  const windows = elementsOf(shown('communication_window'))
  if (windows.length > 0 && !windows.some((window) => isWithin(window, nowMs)))
    return ActionResult.TEMPORARY_FAILURE
  const delayMs = numberOf(shown('repetition_delay')) * 1_000
  const attempt = (retries: number): void => {
    send(meter, target).catch(() => {
      if (retries > 0)
        meter.plan('push', meter.model.clock.now() + delayMs, () => attempt(retries - 1))
    })
  }
  attempt(numberOf(shown('number_of_retries')))
  return ActionResult.SUCCESS
}

const setupFor = (classId: number, obis: string): ClassObject =>
  classObject({
    obis: '0-0:25.9.0.255',
    classId: 40,
    attributes: {
      // Identity and what was measured.
      push_object_list: [
        { class_id: 1, logical_name: '0-0:96.1.1.255', attribute_index: 2, data_index: 0 },
        { class_id: classId, logical_name: obis, attribute_index: 2, data_index: 0 },
      ],
      send_destination_and_method: {
        transport_service: 'TCP',
        destination: '',
        message: 'A_XDR_encoded_xDLMS_APDU',
      },
      communication_window: [],
      randomisation_start_interval: 0,
      number_of_retries: 3,
      repetition_delay: 60,
    },
    writable: [
      'push_object_list',
      'send_destination_and_method',
      'communication_window',
      'number_of_retries',
      'repetition_delay',
    ],
    methods: { push: (meter, _zero, nowMs) => push(meter, nowMs) },
  })

setups.ESME = setupFor(3, '1-0:1.8.0.255')
setups.gas = setupFor(4, '0-1:24.2.1.255')
export const electricityPush: SimulatedObject = setups.ESME
export const gasPush: SimulatedObject = setups.gas
