/**
 * Registration systems that send files: the sources of registration data. The eight octets of the
 * actor of a source are one for the fuel and seven for its id.
 *
 *   electricity:EELC    market participant id of a distributor's system, one to four characters
 *   gas:0000012345      organisation id of a transporter's agent, one to ten digits
 */
import type { Eui64 } from '../base/eui64.ts'
import type { Fuel } from './registration-record.ts'

/** Eight latin-1 characters, as the octets of its actor. */
export type SourceId = Eui64 & { readonly source: true }

export const sourceWords =
  'electricity: and a market participant id, or gas: and up to ten digits of an organisation id'

const electricity = 1
const gas = 2
const idBytes = 7
const participant = /^[A-Z0-9]{1,4}$/
const organisation = /^[0-9]{1,10}$/

/** The octets of the actor of the source `id`, which is valid for `fuel`. */
export function sourceIdOf(fuel: Fuel, id: string): SourceId {
  const octets = Buffer.alloc(1 + idBytes)
  if (fuel === 'gas') {
    // Leading zeros are part of the id: how many digits it has stands above them.
    octets.writeBigUInt64BE((BigInt(id.length) << 40n) | BigInt(id))
    octets[0] = gas
  } else {
    octets[0] = electricity
    octets.write(id, 1, 'latin1')
  }
  return octets.toString('latin1') as SourceId
}

/** The source of this text, or undefined. */
export function parseSource(text: string): SourceId | undefined {
  const [fuel, id = '', ...others] = text.split(':')
  if (others.length > 0) return undefined
  if (fuel === 'electricity' && participant.test(id)) return sourceIdOf('electricity', id)
  return fuel === 'gas' && organisation.test(id) ? sourceIdOf('gas', id) : undefined
}

export const isSource = (octets: string): octets is SourceId =>
  parseSource(textOfSource(octets as SourceId)) === octets

export const fuelOfSource = (source: SourceId): Fuel =>
  source.charCodeAt(0) === gas ? 'gas' : 'electricity'

/** The id without the fuel, as headers of files have it. */
export function nameOfSource(source: SourceId): string {
  const octets = Buffer.from(source, 'latin1')
  if (fuelOfSource(source) === 'electricity')
    return octets.toString('latin1', 1).replace(/\0+$/, '')
  octets[0] = 0
  const number = octets.readBigUInt64BE()
  return (number & 0xff_ffff_ffffn).toString().padStart(Number(number >> 40n), '0')
}

export const textOfSource = (source: SourceId): string =>
  `${fuelOfSource(source)}:${nameOfSource(source)}`
