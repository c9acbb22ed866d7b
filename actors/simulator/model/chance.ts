/**
 * Chance without a generator: the same (seed, stream, a, b) always draws the same number, so that
 * everything believable about a meter is a function of its number and the time and needs no memory.
 * Not for keys.
 */

/** What is drawn; a stream of its own keeps one draw from echoing in another. */
export const Stream = {
  METER: 1,
  LEVEL: 2,
  HABIT: 3,
  FIRST_DAY: 4,
  SOLAR: 5,
  CLOCK: 6,
  DAY: 7,
  HALF_HOUR: 8,
  VOLTAGE: 9,
  DISTURBANCE: 10,
  OUTAGE: 11,
  FIRMWARE: 12,
  SECRET: 13,
  FAULT: 14,
  FAULTY_METER: 15,
  GARBAGE: 16,
  SUITE: 17,
  KEY: 18,
  PREPAYMENT: 19,
  TOKEN: 20,
} as const
export type Stream = (typeof Stream)[keyof typeof Stream]

// One round of MurmurHash3 (32 bit): public-domain constants of its author.
function stir(hash: number, word: number): number {
  word = Math.imul(word, 0xcc9e2d51)
  word = Math.imul((word << 15) | (word >>> 17), 0x1b873593)
  hash ^= word
  return (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
}

/** A whole number of 32 bits, signed, uniform. Arguments count modulo 2^32. */
export function draw(seed: number, stream: Stream, a: number, b = 0): number {
  let hash = stir(stir(stir(seed | 0, stream), a | 0), b | 0)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** Uniform in [0, 1). */
export function drawFraction(seed: number, stream: Stream, a: number, b = 0): number {
  return (draw(seed, stream, a, b) >>> 0) / 0x1_0000_0000
}

/** Uniform whole number in [0, count). */
export function drawBelow(count: number, seed: number, stream: Stream, a: number, b = 0): number {
  return Math.floor(drawFraction(seed, stream, a, b) * count)
}
