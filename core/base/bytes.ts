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

/** True when both have the same octets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return asBuffer(a).equals(b)
}

/**
 * FNV-1a, 32 bit, over `view[start, end)`; an unsigned integer.
 * @source the FNV-1a parameters of draft-eastlake-fnv, section 5
 */
export function fnv1a32(view: Uint8Array, start = 0, end = view.byteLength, seed = 0x811c9dc5): number {
  let hash = seed
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ view[i]!, 0x01000193)
  return hash >>> 0
}
