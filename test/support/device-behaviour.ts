/** The device with a part of it replaced: how tests plant bugs in it. */
import { deviceKind } from '../../actors/device/device-kind.ts'
import {
  hostedDevice,
  type DeviceEffectsOptions,
} from '../../actors/device-effects/device-effects.ts'
import type { ActorKind, HostedKind } from '../../actors/kind/actor-kind.ts'

export type DeviceBehaviour = Partial<typeof deviceKind>

/** The device as hosts of tests have it. */
export const hostedDeviceOf = (
  options: DeviceEffectsOptions,
  behaviour: DeviceBehaviour = {},
): HostedKind => hostedDevice(options, { ...deviceKind, ...behaviour } as ActorKind)
