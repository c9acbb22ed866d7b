/**
 * What each broker process says of itself every `aliveIntervalMs` on the bus, whatever its roles:
 * so that an operator knows who is there, and which format all of them read, before a newer one is
 * written. Nobody keeps it. JSON: short, and read by people.
 */
import { limits } from '../base/limits.ts'
import { asBuffer } from '../base/bytes.ts'
import { isHostId } from './lease-record.ts'

export const presenceSubject = (processId: string): string => `process.${processId}`

export type Presence = {
  readonly processId: string
  readonly roles: readonly string[]
  /** Of Busbar. */
  readonly version: string
  /** The latest format that it reads, format.ts. */
  readonly reads: number
}

export const encodePresence = (presence: Presence): string => JSON.stringify(presence)

/** Undefined for what is not the presence of a process. */
export function decodePresence(view: Uint8Array): Presence | undefined {
  if (view.length > limits.presenceBytesMax) return undefined
  try {
    const json = JSON.parse(asBuffer(view).toString('utf8')) as Record<string, unknown> | null
    const { processId, roles, version, reads } = json ?? {}
    const isWhole =
      typeof processId === 'string' &&
      isHostId(processId) &&
      Array.isArray(roles) &&
      roles.every((role) => typeof role === 'string') &&
      typeof version === 'string' &&
      Number.isSafeInteger(reads)
    return isWhole ? { processId, roles, version, reads: reads as number } : undefined
  } catch {
    return undefined
  }
}
