/** Randomness through the door: the system's, or a seeded one in simulations. */
import { randomBytes } from 'node:crypto'

export interface Random {
  bytes(count: number): Buffer
  /** Uniform in [0, 1). */
  fraction(): number
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: () => randomBytes(4).readUInt32BE(0) / 2 ** 32,
}

/** mulberry32: small, fast, good enough for workloads and jitter; not for keys. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
  return {
    fraction: () => next() / 2 ** 32,
    bytes(count) {
      const out = Buffer.allocUnsafe(count)
      for (let i = 0; i < count; i++) out[i] = next() & 255
      return out
    },
  }
}
