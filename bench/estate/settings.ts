/**
 * What the processes of an estate of devices agree on: partitions, and what is written and read
 * between them.
 */
import type { ProcessMemory } from './host-memory.ts'

export const partitionCount = 16

export type EstateHostOptions = {
  natsUrl: string
  folder: string
  hostId: string
  partitionCount: number
  ledgerBytesMax: number
  actorsAwakeMax: number
}
/**
 * `answer` changes what devices do from now on; the answer is the process as it is, after
 * collections unless `isQuick`.
 */
export type EstateHostCommand = { answer?: boolean; isQuick?: boolean }
export type EstateHostFigures = {
  memory: ProcessMemory
  awake: number
  exchanges: number
  exchangesEver: number
  cpuMs: number
  partitions: number
}
/** `loadMs` and `loadCpuMs`: from having connected to serving every partition that is free. */
export type EstateHostServing = { servingAtMs: number; loadMs: number; loadCpuMs: number }
