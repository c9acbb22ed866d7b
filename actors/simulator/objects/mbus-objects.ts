/**
 * The gas meter behind an electricity meter: an M-Bus client (class 72) that has captured it, and
 * its values and profile, which are those that the gas meter itself shows. [IEC 62056-6-2, M-Bus
 * client version 1]
 */
import { ActionResult, DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { classObject } from './class-object.ts'
import { encoded, encodedUint8Zero, type SimulatedObject } from './cosem-object.ts'
import { gasRegisters } from './measuring-objects.ts'
import { gasHalfHours } from './profile-objects.ts'

/** `object` of the gas meter, shown by the electricity meter; nothing there can be changed. */
const behind = (object: SimulatedObject): SimulatedObject => ({
  ...object,
  writable: [],
  invocable: [],
  read: (meter, attribute, nowMs, selection, link) => {
    const { gasMeter } = meter
    return gasMeter === undefined
      ? DataAccessResult.OBJECT_UNAVAILABLE
      : object.read(gasMeter, attribute, nowMs, selection, link)
  },
})

const gas = 3
const keyInUse = 'encryption_key_in_use'

export const mbusObjects: readonly SimulatedObject[] = [
  classObject({
    obis: '0-1:24.1.0.255',
    classId: 72,
    version: 1,
    attributes: {
      mbus_port_reference: '0-0:24.6.0.255',
      // Volume with decimal place 3, of the present.
      capture_definition: [{ data_information_block: '04', value_information_block: '13' }],
      capture_period: 1_800,
      primary_address: 1,
      // Eight digits, BCD.
      identification_number: (meter) =>
        encoded((w) =>
          w.uint32(Number.parseInt(String(((meter.gasMeter?.number ?? 0) + 1) % 1e8), 16)),
        ),
      manufacturer_id: 'BSB',
      version: 1,
      device_type: gas,
      access_number: (_meter, nowMs) =>
        encoded((w) => w.uint8(Math.floor(nowMs / 1_800_000) & 0xff)),
      status: (): Buffer => encodedUint8Zero,
      alarm: (): Buffer => encodedUint8Zero,
      configuration: 0x0500,
      encryption_key_status: keyInUse,
    },
    writable: ['capture_period', 'primary_address'],
    methods: { capture: () => ActionResult.SUCCESS, reset_alarm: () => ActionResult.SUCCESS },
  }),
  ...gasRegisters.map(behind),
  behind(gasHalfHours),
]
