/**
 * Meter points: where energy is taken or given, and what suppliers are registered for. An actor's
 * eight octets are one for the fuel and seven for the number. Station 2 of a message's way.
 *
 *   mpan:1234567890126    electricity, thirteen digits
 *   mprn:1234567890       gas, up to ten digits
 */
import type { Eui64 } from '../base/eui64.ts'
import { isMpan, isMprn } from './mpan.ts'
import type { Fuel, MeterPoint } from './registration-record.ts'

/** Eight latin-1 characters, as the octets of its actor. */
export type MeterPointId = Eui64 & { readonly meterPoint: true }

const electricity = 1
const gas = 2
export const meterPointBytes = 8
export const meterPointWords = 'mpan: and thirteen digits, or mprn: and up to ten digits'

/** The meter point of this text, or undefined. The check digit of an MPAN is not looked at. */
export function parseMeterPoint(text: string): MeterPointId | undefined {
  const number = text.slice(5)
  if (text.startsWith('mpan:') && isMpan(number))
    return meterPointId({ fuel: 'electricity', number })
  if (text.startsWith('mprn:') && isMprn(number)) return meterPointId({ fuel: 'gas', number })
  return undefined
}

/** The octets of the actor of `point`, whose number is valid. */
export function meterPointId({ fuel, number }: MeterPoint): MeterPointId {
  const octets = Buffer.alloc(meterPointBytes)
  // A number of gas keeps its leading zeros: how many digits it has stands above them.
  const digits = fuel === 'gas' ? BigInt(number.length) << 40n : 0n
  octets.writeBigUInt64BE(digits | BigInt(number))
  octets[0] = fuel === 'gas' ? gas : electricity
  return octets.toString('latin1') as MeterPointId
}

/** @param octets eight of them from `at` on */
export const readMeterPoint = (octets: Buffer, at = 0): MeterPointId =>
  octets.toString('latin1', at, at + meterPointBytes) as MeterPointId

export const fuelOf = (point: MeterPointId): Fuel =>
  point.charCodeAt(0) === electricity ? 'electricity' : 'gas'

export const isMeterPoint = (octets: string): octets is MeterPointId =>
  octets.length === meterPointBytes && [electricity, gas].includes(octets.charCodeAt(0))

export function textOfMeterPoint(point: MeterPointId): string {
  const octets = Buffer.from(point, 'latin1')
  octets[0] = 0
  const number = octets.readBigUInt64BE()
  if (fuelOf(point) === 'electricity') return `mpan:${number.toString().padStart(13, '0')}`
  const digits = Number(number >> 40n)
  return `mprn:${(number & 0xff_ffff_ffffn).toString().padStart(digits, '0')}`
}
