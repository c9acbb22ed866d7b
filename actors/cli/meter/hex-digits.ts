/** Hexadecimal digits as people write them, on a command line or in a log. */

/**
 * The octets of hexadecimal digits, with or without white space, colons, dashes, commas or 0x;
 * undefined for all else.
 */
export function hexIn(text: string): Buffer | undefined {
  const digits = text.replace(/0x|[\s:,-]/gi, '')
  return digits.length > 0 && digits.length % 2 === 0 && /^[0-9a-f]+$/i.test(digits)
    ? Buffer.from(digits, 'hex')
    : undefined
}
