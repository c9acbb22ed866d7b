/**
 * EUI-64 identifiers of parties and devices: eight octets on the wire inside Busbar, text outside.
 * Text is sixteen hexadecimal digits, bare or with `-` or `:` between octets; Busbar prints
 * `90-B3-D5-1F-30-01-00-00`. As a key of a Map or of the store it is an `Eui64`: eight latin-1
 * characters, one an octet, cheap to make from a view and to compare.
 */
import { textOfOctets } from './bytes.ts'

export const eui64Bytes = 8

export type Eui64 = string & { readonly brand: 'Eui64' }

// Value of an ASCII hexadecimal digit, 255 for anything else.
const digitOf = new Uint8Array(256).fill(255)
for (let i = 0; i < 10; i++) digitOf[48 + i] = i
for (let i = 0; i < 6; i++) digitOf[65 + i] = digitOf[97 + i] = 10 + i

const octetTexts = Array.from({ length: 256 }, (_, octet) =>
  octet.toString(16).toUpperCase().padStart(2, '0'),
)

const dash = 45
const colon = 58

/**
 * Parses the ASCII text at `view[start, end)` into `out` at `at` (8 octets).
 * Returns false, leaving `out` undefined there, when the text is not an EUI-64.
 */
export function parseEui64Into(
  view: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): boolean {
  const length = end - start
  const step = length === 16 ? 2 : length === 23 ? 3 : 0
  if (step === 0) return false
  const separator = step === 3 ? view[start + 2]! : 0
  if (step === 3 && separator !== dash && separator !== colon) return false
  for (let i = 0, p = start; i < 8; i++, p += step) {
    const high = digitOf[view[p]!]!
    const low = digitOf[view[p + 1]!]!
    if ((high | low) > 15) return false
    if (step === 3 && i < 7 && view[p + 2] !== separator) return false
    out[at + i] = (high << 4) | low
  }
  return true
}

/** The eight octets of `text`, or undefined when it is not an EUI-64. */
export function parseEui64(text: string): Buffer | undefined {
  const out = Buffer.allocUnsafeSlow(eui64Bytes)
  const view = Buffer.from(text, 'latin1')
  return parseEui64Into(view, 0, view.length, out, 0) ? out : undefined
}

/** `90-B3-D5-1F-30-01-00-00` from the eight octets at `at`. */
export function formatEui64(view: Uint8Array, at = 0): string {
  let text = octetTexts[view[at]!]!
  for (let i = 1; i < eui64Bytes; i++) text += '-' + octetTexts[view[at + i]!]!
  return text
}

/** The key form of the eight octets at `at`. */
export function readEui64(view: Uint8Array, at = 0): Eui64 {
  return textOfOctets(view, at) as Eui64
}

/** The eight octets of a key, in memory of their own. */
export function bytesOfEui64(key: Eui64): Buffer {
  return Buffer.from(key, 'latin1')
}

/** `formatEui64` for a key. */
export function textOfEui64(key: Eui64): string {
  return formatEui64(Buffer.from(key, 'latin1'))
}
