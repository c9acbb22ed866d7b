/**
 * The interface class that an object of a logical name usually has, for people who do not say it.
 * An object list has the last word.
 * [IEC 62056-6-2, Relation to OBIS; IEC 62056-6-1, Abstract objects]
 */
import { parseObis } from '../axdr/obis.ts'

/** Of abstract objects, by value groups C and D, or by C, D and E. */
const abstractClasses: { readonly [codes: string]: number } = {
  '1.0': 8,
  '10.0': 9,
  '10.1': 9,
  '11.0': 11,
  '12.0': 10,
  '13.0': 20,
  '14.0': 6,
  '15.0': 22,
  '16.0': 21,
  '16.1': 21,
  '16.2': 65,
  '17.0': 71,
  '20.0': 19,
  '21.0': 7,
  '22.0': 23,
  '24.0': 25,
  '24.1': 72,
  '24.2': 4,
  '24.3': 7,
  '24.4': 70,
  '24.5': 7,
  '24.6': 74,
  '25.0': 41,
  '25.1': 42,
  '25.2': 43,
  '25.3': 44,
  '25.4': 45,
  '25.5': 46,
  '25.6': 47,
  '25.7': 48,
  '25.9': 40,
  '40.0': 15,
  '41.0': 17,
  '42.0': 1,
  '43.0': 64,
  '43.1': 1,
  '44.0': 18,
  '66.0': 62,
  '67.0': 67,
  '96.3.10': 70,
  '96.8': 3,
  '96.9': 3,
}
/**
 * The same where any number of a group has it: C, its D from and to; then E, where only some have.
 */
const abstractRanges: readonly {
  c: number
  d: readonly [from: number, to: number]
  e?: readonly [from: number, to: number]
  classId: number
}[] = [
  // Payment metering: ten accounts, and for each its credits, charges and token gateway.
  { c: 19, d: [0, 9], classId: 111 },
  { c: 19, d: [10, 19], classId: 112 },
  { c: 19, d: [20, 29], classId: 113 },
  { c: 19, d: [40, 49], classId: 115 },
  // Utility tables, standard and of makers, present and pending.
  { c: 65, d: [0, 63], classId: 26 },
  { c: 96, d: [3, 3], e: [20, 29], classId: 68 },
]
const dataClass = 1
const registerClass = 3
const extendedRegisterClass = 4
const demandRegisterClass = 5
const profileClass = 7

/** Maxima and minima with their times, in electricity. [IEC 62056-6-1, Value group D] */
const extremes: ReadonlySet<number> = new Set([2, 3, 6, 13, 16, 26])
const averages: ReadonlySet<number> = new Set([4, 5, 14, 15])
/** How often a limit was crossed. */
const occurrences: ReadonlySet<number> = new Set([32, 36, 40, 44])

/** The class number. @throws BrokerError DLMS_VALUE_INVALID for what is no code */
export function usualClassOf(code: string): number {
  const octets = parseObis(code)
  const [a, c, d, e] = [octets[0]!, octets[2]!, octets[3]!, octets[4]!]
  if (c === 98 || c === 99) return profileClass
  if (a === 0) return abstractClassOf(c, d, e)
  if (c === 0 || c === 96 || c === 97 || (a === 1 && occurrences.has(d))) return dataClass
  if (a === 1 && averages.has(d)) return demandRegisterClass
  return a === 1 && extremes.has(d) ? extendedRegisterClass : registerClass
}

function abstractClassOf(c: number, d: number, e: number): number {
  const isIn = (value: number, [from, to]: readonly [number, number]): boolean =>
    value >= from && value <= to
  const range = abstractRanges.find(
    (one) => one.c === c && isIn(d, one.d) && (one.e === undefined || isIn(e, one.e)),
  )
  return (
    range?.classId ?? abstractClasses[`${c}.${d}.${e}`] ?? abstractClasses[`${c}.${d}`] ?? dataClass
  )
}
