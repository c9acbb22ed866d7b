/**
 * OBIS codes in words: `1-0:1.8.0.255` is `Electricity, active energy import (+A), total, rate
 * total, current`. What no table has a word for is named by its numbers, so that nothing is without
 * a name. [IEC 62056-6-1, OBIS code structure]
 */
import { formatObis, parseObis } from '../axdr/obis.ts'
import { abstractNames } from './obis-abstract.ts'
import {
  angleEnds,
  electricityNames,
  electricityProcessings,
  electricityQuantities,
  harmonicQuantities,
  integralNames,
  lossNames,
  mediumNames,
  otherMedia,
  phaseQuantities,
} from './obis-media.ts'

/**
 * The name of a code as text or as its six octets. @throws BrokerError DLMS_VALUE_INVALID for what
 * is no code
 */
export function nameOfObis(code: string | Uint8Array): string {
  const [a, b, c, d, e, f] = typeof code === 'string' ? parseObis(code) : code
  const words = [mediumNames[a!] ?? `medium ${a}`]
  if (b! > 0) words.push(channelName(b!))
  words.push(...quantityWords(a!, c!, d!, e!))
  // A value of its own only where there are billing periods.
  if (f !== 255) words.push(billingName(f!))
  else if (isMeasured(a!, c!)) words.push('current')
  return words.join(', ')
}

/**
 * The six octets as `1-0:1.8.0*255`, as people who read displays write them. @throws BrokerError as
 * `formatObis`
 */
export function formatObisWithStar(view: Uint8Array): string {
  return formatObis(view).replace(/\.(\d+)$/, '*$1')
}

function channelName(b: number): string {
  if (b <= 64) return `channel ${b}`
  return b <= 127 ? `utility specific ${b}` : `manufacturer specific ${b}`
}

/**
 * Billing periods of value group F. [IEC 62056-6-1, Value group F; IEC 62056-6-2, Billing periods]
 */
function billingName(f: number): string {
  if (f < 100) return `billing period ${f}`
  if (f === 101) return 'last billing period'
  if (f > 101 && f < 126) return `last ${f - 100} billing periods`
  return f === 126 ? 'last billing periods' : `billing period code ${f}`
}

function isMeasured(a: number, c: number): boolean {
  return a !== 0 && c > 0 && c < 93
}

function quantityWords(a: number, c: number, d: number, e: number): string[] {
  if (isManufacturers(c)) return [`manufacturer specific ${c}.${d}.${e}`]
  if (!isMeasured(a, c)) {
    const own = a === 1 ? nameIn(electricityNames, c, d, e) : undefined
    return [own ?? nameIn(abstractNames, c, d, e) ?? `object ${c}.${d}.${e}`]
  }
  if (a === 1) return electricityWords(c, d, e)
  const medium = otherMedia[a]
  return [
    medium?.quantities[c] ?? `quantity ${c}`,
    medium?.processings[d] ?? `processing ${d}`,
    rateName(e),
  ]
}

function isManufacturers(c: number): boolean {
  return (c >= 128 && c <= 199) || c === 240
}

function nameIn(
  names: { readonly [codes: string]: string },
  c: number,
  d: number,
  e: number,
): string | undefined {
  const exact = names[`${c}.${d}.${e}`]
  if (exact !== undefined) return exact
  const name = names[`${c}.${d}`]
  if (name !== undefined) return name.replace('{e+1}', String(e + 1)).replace('{e}', String(e))
  const group = names[c]
  return group === undefined ? undefined : `${group.replace(' {e}', '')} ${d}.${e}`
}

function electricityWords(c: number, d: number, e: number): string[] {
  if (c === 81 && d === 7) return [angleName(e), 'instantaneous']
  const integral = integralNames[d]
  const quantity = (c === 83 && lossNames[e]) || electricityQuantity(c)
  const processing = integral ?? electricityProcessings[d] ?? `processing ${d}`
  const words = [quantity.replace('{p}', integral === undefined ? 'power' : 'energy'), processing]
  if (c === 83) return words
  const isHarmonic = harmonicQuantities.has(c) && (d === 7 || d === 24)
  // Of what is measured just now there are no rates.
  if (isHarmonic || d === 7)
    return e === 0 ? words : [...words, isHarmonic ? harmonicName(e) : `element ${e}`]
  return [...words, rateName(e)]
}

function electricityQuantity(c: number): string {
  if (c > 80) return electricityQuantities[c] ?? `quantity ${c}`
  const phase = Math.floor((c - 1) / 20)
  const quantity = phaseQuantities[c - phase * 20]!
  return phase === 0 ? quantity : `${quantity} L${phase}`
}

function angleName(e: number): string {
  const [from, to] = [angleEnds[Math.floor(e / 10)], angleEnds[e % 10]]
  return from && to ? `angle of ${to} from ${from}` : `angle ${e}`
}

function harmonicName(e: number): string {
  if (e <= 120) return `harmonic ${e}`
  if (e === 124) return 'total harmonic distortion'
  if (e === 125) return 'total demand distortion'
  return e === 126 || e === 127 ? 'all harmonics' : `element ${e}`
}

function rateName(e: number): string {
  if (e === 0) return 'rate total'
  return e <= 63 ? `rate ${e}` : `element ${e}`
}
