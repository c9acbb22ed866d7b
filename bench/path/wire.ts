/**
 * The few octets of protobuf that both ends of the path benches read and write by hand, so that
 * neither the load client nor the bare pipe costs what it should not measure. Shapes are those of
 * proto/busbar/v1. Not a general decoder: it trusts its peer, which is ours.
 */

/** Where a walk over protobuf stands: `value` after `readVarint`, `at` behind what was read. */
export type Cursor = { at: number; value: number }

/** Reads a varint below 2^53 at `cursor.at`. */
export function readVarint(buffer: Buffer, cursor: Cursor): number {
  let at = cursor.at
  let octet = buffer[at++]!
  let value = octet & 127
  for (let scale = 128; octet > 127; scale *= 128) {
    octet = buffer[at++]!
    value += (octet & 127) * scale
  }
  cursor.at = at
  cursor.value = value
  return value
}

/** Writes a varint below 2^53 and returns the offset behind it. */
export function writeVarint(buffer: Buffer, at: number, value: number): number {
  let rest = value
  while (rest > 127) {
    buffer[at++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  buffer[at++] = rest
  return at
}

export function varintBytes(value: number): number {
  let count = 1
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) count++
  return count
}

/** Moves `cursor` over a field's value, having read its tag. */
export function skipField(buffer: Buffer, cursor: Cursor, tag: number): void {
  switch (tag & 7) {
    case 0:
      readVarint(buffer, cursor)
      return
    case 1:
      cursor.at += 8
      return
    case 2: {
      const length = readVarint(buffer, cursor)
      cursor.at += length
      return
    }
    default:
      cursor.at += 4
  }
}

/**
 * The first octet and the one behind the field `number` (length-delimited) in `[start, end)`, or -1
 * when it is absent.
 */
export function findBytes(
  buffer: Buffer,
  start: number,
  end: number,
  number: number,
  out: { start: number; end: number },
): boolean {
  const cursor: Cursor = { at: start, value: 0 }
  while (cursor.at < end) {
    const tag = readVarint(buffer, cursor)
    if (tag === ((number << 3) | 2)) {
      const length = readVarint(buffer, cursor)
      out.start = cursor.at
      out.end = cursor.at + length
      return true
    }
    skipField(buffer, cursor, tag)
  }
  return false
}

/** A protobuf field that holds `content`, tag and length in front. */
export function bytesField(number: number, content: Uint8Array): Buffer {
  const head = Buffer.alloc(12)
  const at = writeVarint(head, writeVarint(head, 0, number * 8 + 2), content.length)
  return Buffer.concat([head.subarray(0, at), content])
}

export const textField = (number: number, text: string): Buffer =>
  bytesField(number, Buffer.from(text))

export function varintField(number: number, value: number): Buffer {
  const out = Buffer.alloc(20)
  return out.subarray(0, writeVarint(out, writeVarint(out, 0, number * 8), value))
}
