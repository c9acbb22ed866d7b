/**
 * How a key-encryption key is written. Apart from the key itself, so that no settings need crypto.
 */

/** True for 64 hexadecimal digits, or base64 of 32 octets. */
export const isKeyText = (text: string): boolean =>
  isHexKeyText(text) || /^[0-9A-Za-z+/_-]{43}=?$/.test(text)

export const isHexKeyText = (text: string): boolean => /^[0-9a-fA-F]{64}$/.test(text)
