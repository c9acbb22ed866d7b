/**
 * What an M-Bus device calls itself, as numbers and as people read it: an identification number of
 * eight BCD digits, and its maker's three letters, five bits each from A = 1. [EN 13757-3,
 * identification number, manufacturer]
 */
const letterBits = 5
const lettersInAll = 26
const beforeA = 64

/** `00012345` of 0x00012345; undefined where an octet is no BCD. */
export function textOfMbusNumber(number: number): string | undefined {
  const digits = number.toString(16).padStart(8, '0')
  return number !== 0 && /^[0-9]{8}$/.test(digits) ? digits : undefined
}

/** The other way round; undefined for what is not one to eight digits. */
export function mbusNumberOf(text: string): number | undefined {
  return /^[0-9]{1,8}$/.test(text) ? Number.parseInt(text, 16) : undefined
}

/** `BSB` of its sixteen bits; undefined where they are no three letters. */
export function textOfMbusMaker(number: number): string | undefined {
  const letters = [2, 1, 0].map((place) => (number >> (place * letterBits)) & 0x1f)
  const isText = number < 0x8000 && letters.every((one) => one >= 1 && one <= lettersInAll)
  return isText ? String.fromCharCode(...letters.map((one) => beforeA + one)) : undefined
}

/** The other way round; undefined for what is not three capital letters. */
export function mbusMakerOf(text: string): number | undefined {
  if (!/^[A-Z]{3}$/.test(text)) return undefined
  return Array.from(text).reduce(
    (all, letter) => (all << letterBits) | (letter.charCodeAt(0) - beforeA),
    0,
  )
}
