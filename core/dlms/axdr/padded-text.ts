/**
 * Text in octet-strings, as meters keep names and numbers: printable, and filled up to a length
 * with NUL, FF or spaces.
 */

const isPadding = (octet: number): boolean => octet === 0 || octet === 0xff || octet === 0x20
const isPrintable = (octet: number): boolean => octet >= 0x20 && octet < 0x7f
const textBytesMin = 3

/** `paddingBytes` octets of filling stood in front of the text or behind it. */
export type PaddedText = { text: string; paddingBytes: number }

/**
 * The text that `view` holds, when it is three printable characters or more and filling; undefined
 * for all else.
 */
export function paddedTextIn(view: Buffer): PaddedText | undefined {
  let [start, end] = [0, view.length]
  while (end > start && isPadding(view[end - 1]!)) end--
  while (start < end && isPadding(view[start]!)) start++
  if (end - start < textBytesMin) return undefined
  for (let at = start; at < end; at++) if (!isPrintable(view[at]!)) return undefined
  const paddingBytes = view.length - (end - start)
  return { text: view.toString('latin1', start, end), paddingBytes }
}
