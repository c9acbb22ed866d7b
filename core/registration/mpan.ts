/**
 * MPAN and MPRN: shape, check digit, and the distributor that the first two digits name. Both are
 * text, because leading zeros of an MPRN count.
 */
import type { Fuel, MeterPoint } from './registration-record.ts'

export const mpanDigits = 13
export const mprnDigitsMax = 10

/** Weights of the first twelve digits: the primes from 3 to 43 without 11. */
const weights = [3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43]

/** The distributors of the fourteen areas, from number 10 on, by their GSP group. */
const gspGroups = '_A _B _C _D _E _F _G _P _N _J _H _K _L _M'.split(' ')
const firstDistributor = 10

/** The distributor of an MPAN. Independent distributors have no GSP group of their own. */
export type Distributor = { readonly number: number; readonly gspGroup: string | undefined }

function isDigits(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return false
  }
  return text.length > 0
}

/**
 * Whether `text` is an MPAN core: 13 digits, the first not 0. Does not look at the check digit:
 * public sample messages have MPANs that fail it.
 */
export function isMpan(text: string): boolean {
  return text.length === mpanDigits && text.charCodeAt(0) !== 0x30 && isDigits(text)
}

/** The check digit, 0 to 9, for the first twelve digits of `text`. */
export function checkDigitOf(text: string): number {
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum += weights[i]! * (text.charCodeAt(i) - 0x30)
  return (sum % 11) % 10
}

/**
 * Whether the thirteenth digit of an MPAN is its check digit. Finds most single wrong digits, not
 * all: the remainders 0 and 10 share the digit 0.
 */
export function hasCheckDigit(mpan: string): boolean {
  return isMpan(mpan) && checkDigitOf(mpan) === mpan.charCodeAt(mpanDigits - 1) - 0x30
}

/** The distributor that the first two digits of an MPAN name; undefined if `mpan` is no MPAN. */
export function distributorOf(mpan: string): Distributor | undefined {
  if (!isMpan(mpan)) return undefined
  const number = Number(mpan.slice(0, 2))
  return { number, gspGroup: gspGroups[number - firstDistributor] }
}

/** Whether `text` is an MPRN: 1 to 10 digits, without a check digit. */
export function isMprn(text: string): boolean {
  return text.length <= mprnDigitsMax && isDigits(text)
}

/**
 * The meter point with this number, undefined if the number is not valid. With `checkDigit` false,
 * the check digit of an MPAN is not looked at.
 */
export function meterPointOf(
  fuel: Fuel,
  number: string,
  checkDigit = true,
): MeterPoint | undefined {
  if (fuel === 'gas') return isMprn(number) ? { fuel, number } : undefined
  return (checkDigit ? hasCheckDigit(number) : isMpan(number)) ? { fuel, number } : undefined
}
