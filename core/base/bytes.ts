/**
 * The one place where bytes change type. `…View` borrows, `…Bytes` is owned, `copyOf…` allocates.
 */

/** Shares the memory of `view` as a Buffer; never copies. */
export function asBuffer(view: Uint8Array): Buffer {
  return Buffer.isBuffer(view) ? view : Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

export const emptyBytes: Buffer = Buffer.alloc(0)

/** Copies `view`, so that the chunk it was borrowed from can be freed. */
export function copyOf(view: Uint8Array): Buffer {
  return view.byteLength === 0 ? emptyBytes : Buffer.from(view)
}

/** True when both have the same octets; undefined has none. */
export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || asBuffer(a ?? emptyBytes).equals(b ?? emptyBytes)
}

/**
 * FNV-1a, 32 bit, over `view[start, end)`; an unsigned integer.
 * @source the FNV-1a parameters of draft-eastlake-fnv, section 5
 */
export function fnv1a32(
  view: Uint8Array,
  start = 0,
  end = view.byteLength,
  seed = 0x811c9dc5,
): number {
  let hash = seed
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ view[i]!, 0x01000193)
  return hash >>> 0
}

/**
 * The eight octets at `at` as eight latin-1 characters: a key that Maps hash and compare fast.
 * Character by character, because that is three times as fast as any call that crosses into the
 * engine.
 */
export function textOfOctets(v: Uint8Array, at: number): string {
  return String.fromCharCode(
    v[at]!,
    v[at + 1]!,
    v[at + 2]!,
    v[at + 3]!,
    v[at + 4]!,
    v[at + 5]!,
    v[at + 6]!,
    v[at + 7]!,
  )
}

/** All octets of `view` as latin-1 characters, one an octet. */
export function latin1Of(view: Uint8Array): string {
  return asBuffer(view).toString('latin1')
}

/** Writes the eight octets that `text` stands for at `at`. */
export function writeOctetsOf(text: string, out: Uint8Array, at: number): void {
  for (let i = 0; i < 8; i++) out[at + i] = text.charCodeAt(i)
}
