/**
 * What the inventory says of a device: its type and how it is reached. Travels as the body of DEVICE_REGISTRATION and
 * DEVICE_REGISTERED, a MessagePack map with these names.
 */
import type { DeviceAddress } from '../ports/wan.ts'

export const DeviceType = ['ESME', 'GSME', 'GPF', 'CHF', 'HCALCS', 'PPMID', 'IHD', 'CAD', 'SAPC'] as const
export type DeviceType = (typeof DeviceType)[number]

export type DeviceRecord = { type: DeviceType; address: DeviceAddress }
