/**
 * By which right a device has accepted a request: the version of a meter point's rights, the
 * consent of a third party, and where what it reads was cut. Devices remember the last ones, so
 * that one question leads from a RequestID to the evidence of a consent. MessagePack
 * `[meter point 8, version of its rights, consent or nil, first time that may be read or 0]`.
 */
import type { RequestCounter } from '../base/counter.ts'
import { readRequestCounter } from '../base/counter.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { meterPointBytes, readMeterPoint, type MeterPointId } from './meter-point.ts'

export type GrantBasis = {
  readonly point: MeterPointId
  /** Of the rights of `point` that decided. */
  readonly version: number
  /** Of a third party: the id of its consent at `point`. */
  readonly consent?: string | undefined
  /** The request asked for earlier times, which are left out; UTC ms. */
  readonly readableFromMs?: number | undefined
}

/** The basis of one request, which was accepted at `atMs`. */
export type Grant = GrantBasis & {
  readonly originator: Eui64
  readonly counter: RequestCounter
  readonly atMs: number
}

export type PackedBasis = [Uint8Array, number, string | null, number]

export const packedBasis = ({
  point,
  version,
  consent,
  readableFromMs,
}: GrantBasis): PackedBasis => [
  Buffer.from(point, 'latin1'),
  version,
  consent ?? null,
  readableFromMs ?? 0,
]

export const basisIn = ([point, version, consent, readableFromMs]: PackedBasis): GrantBasis => ({
  point: readMeterPoint(Buffer.from(point.subarray(0, meterPointBytes))),
  version,
  ...(consent !== null && { consent }),
  ...(readableFromMs !== 0 && { readableFromMs }),
})

/** `[originator 8, counter 8, accepted at, basis]` */
export type PackedGrant = [Uint8Array, Uint8Array, number, PackedBasis]

export const packedGrants = (grants: readonly Grant[]): PackedGrant[] =>
  grants.map((grant) => [
    Buffer.from(grant.originator, 'latin1'),
    Buffer.from(grant.counter, 'latin1'),
    grant.atMs,
    packedBasis(grant),
  ])

export const grantsIn = (packed: readonly PackedGrant[]): Grant[] =>
  packed.map(([originator, counter, atMs, basis]) => ({
    originator: readEui64(originator),
    counter: readRequestCounter(counter),
    atMs,
    ...basisIn(basis),
  }))
