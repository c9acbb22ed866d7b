/**
 * Which partition a device belongs to: FNV-1a-32 of the eight octets of its EUI-64, modulo the
 * partition count. Never changes. Pure.
 */
import { fnv1a32 } from '../base/bytes.ts'
import { bytesOfEui64, eui64Bytes, type Eui64 } from '../base/eui64.ts'

/** The partition of the target whose eight octets stand at `at`. */
export const partitionAt = (view: Uint8Array, at: number, partitionCount: number): number =>
  fnv1a32(view, at, at + eui64Bytes) % partitionCount

/** The partition of a device. */
export const partitionOf = (device: Eui64, partitionCount: number): number =>
  partitionAt(bytesOfEui64(device), 0, partitionCount)
