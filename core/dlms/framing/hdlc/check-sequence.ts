/**
 * The check sequence of HDLC, HCS and FCS alike: CRC-16 with the polynomial x^16 + x^12 + x^5 + 1,
 * reflected, started with ones and complemented; on the line the low octet goes first. [ISO/IEC
 * 13239, 4.2.5.2; IEC 62056-46, annex on the FCS]
 */

// A row for each of the two octets taken in one turn: they do not wait for one another, which is
// what a CRC costs.
const [near, far] = ((): [Uint16Array, Uint16Array] => {
  const one = new Uint16Array(256)
  const two = new Uint16Array(256)
  for (let octet = 0; octet < 256; octet++) {
    let register = octet
    for (let bit = 0; bit < 8; bit++) register = (register >> 1) ^ (register & 1 ? 0x8408 : 0)
    one[octet] = register
  }
  for (let octet = 0; octet < 256; octet++)
    two[octet] = (one[octet]! >> 8) ^ one[one[octet]! & 0xff]!
  return [one, two]
})()

/** The check sequence of `view[start, end)`, as the number whose low octet goes first. */
export function checkSequence(view: Uint8Array, start: number, end: number): number {
  let register = 0xffff
  let at = start
  for (const paired = end - 1; at < paired; at += 2) {
    register ^= view[at]! | (view[at + 1]! << 8)
    register = far[register & 0xff]! ^ near[register >> 8]!
  }
  if (at < end) register = (register >> 8) ^ near[(register ^ view[at]!) & 0xff]!
  return register ^ 0xffff
}

/** True when the two octets at `end` are the check sequence of `view[start, end)`. */
export function hasCheckSequence(view: Uint8Array, start: number, end: number): boolean {
  return checkSequence(view, start, end) === (view[end]! | (view[end + 1]! << 8))
}

/** Writes the check sequence of `out[start, end)` behind it; returns the offset behind that. */
export function writeCheckSequence(out: Uint8Array, start: number, end: number): number {
  const sequence = checkSequence(out, start, end)
  out[end] = sequence
  out[end + 1] = sequence >> 8
  return end + 2
}
