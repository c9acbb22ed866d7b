/**
 * What a meter with a secret, or under a security suite, shows to the public client: who it is, what time it has, and which counter it
 * heard last. [Green Book, public client]
 */
import { DataAccessResult } from '../../core/dlms/apdu.ts'
import type { CosemObjects } from '../../core/dlms/server.ts'
import type { Meter } from './meter.ts'
import { objectKey } from './object-table.ts'

/** The client's wrapper port of the public client, and of the one that manages. */
export const publicClient = 16
export const managementClient = 1

const keyOf = (obis: readonly [number, number, number, number, number]): number =>
  objectKey(Buffer.from([0, 0, ...obis, 255, 0]))
const shown: ReadonlySet<number> = new Set([
  keyOf([0, 0, 42, 0, 0]),
  keyOf([0, 0, 1, 0, 0]),
  keyOf([0, 0, 40, 0, 0]),
  keyOf([0, 0, 43, 1, 0]),
])

export class PublicObjects implements CosemObjects {
  private readonly meter: Meter

  constructor(meter: Meter) {
    this.meter = meter
  }

  get(descriptor: Buffer, selection: Buffer | undefined): Buffer | number {
    return shown.has(objectKey(descriptor))
      ? this.meter.get(descriptor, selection)
      : DataAccessResult.READ_WRITE_DENIED
  }

  set(): number {
    return DataAccessResult.READ_WRITE_DENIED
  }

  invoke(): { result: number } {
    return { result: DataAccessResult.READ_WRITE_DENIED }
  }
}
