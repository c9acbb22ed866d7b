/** How the clock of one device is understood: by its record, else by its profile. Pure. */
import type { LocalZone } from '../dlms/axdr/local-time.ts'
import { deviceProfileOf } from '../inventory/device-profiles.ts'
import type { DeviceRecord } from '../inventory/device-record.ts'
import { timeZoneOf } from './time-zone.ts'

export type DeviceTime = {
  /** Of date-times without deviation; undefined when it is not known. */
  readonly zone: LocalZone | undefined
  /** True when times that are sent to it are local ones of `zone`, without deviation. */
  readonly isSentLocal: boolean
}

/** For a device of which nothing is known: what it sends without deviation stays local. */
export const plainTime: DeviceTime = { zone: undefined, isSentLocal: false }

/** A name that is not known any more is as if it were left out: then times stay local. */
export function deviceTimeOf({
  address,
  timeZone,
}: Pick<DeviceRecord, 'address' | 'timeZone'>): DeviceTime {
  const profile = deviceProfileOf(address.profile)
  const name = timeZone ?? profile?.timeZone
  const zone = name === undefined ? undefined : timeZoneOf(name)
  if (zone === undefined) return plainTime
  return { zone, isSentLocal: profile?.sentTimes === 'local' }
}
