/**
 * Days and times as registration files write them: YYYYMMDD and YYYYMMDDHHMMSS, in UTC.
 */
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Number of days of a month, from 1. */
function daysIn(year: number, month: number): number {
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  return month === 2 && isLeap ? 29 : (monthDays[month - 1] ?? 0)
}

/** The number that digits stand for; -1 if `text` has anything else, or nothing. */
function valueOf(text: string): number {
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return text.length > 0 ? value : -1
}

/** True for a day YYYYMMDD of the years 1900 to 9999. */
export function isDay(day: unknown): day is number {
  if (typeof day !== 'number' || !Number.isInteger(day) || day < 1900_00_00 || day > 9999_12_31)
    return false
  const inMonth = day % 100
  return inMonth >= 1 && inMonth <= daysIn(Math.floor(day / 10_000), Math.floor(day / 100) % 100)
}

/** The day as a number YYYYMMDD; undefined if `text` is no day from the year 1900 on. */
export function dayOf(text: string): number | undefined {
  const day = text.length === 8 ? valueOf(text) : -1
  return isDay(day) ? day : undefined
}

/** Milliseconds since 1970 of YYYYMMDDHHMMSS; undefined if `text` is no such time. */
export function timeOf(text: string): number | undefined {
  const day = dayOf(text.slice(0, 8))
  if (day === undefined || text.length !== 14 || valueOf(text) < 0) return undefined
  const [hours, minutes, seconds] = [8, 10, 12].map((at) => Number(text.slice(at, at + 2)))
  if (hours! > 23 || minutes! > 59 || seconds! > 59) return undefined
  const month = Math.floor(day / 100) % 100
  return Date.UTC(Math.floor(day / 10_000), month - 1, day % 100, hours, minutes, seconds)
}

/** YYYYMMDDHHMMSS of milliseconds since 1970. */
export function textOfTime(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replaceAll(/[^0-9]/g, '')
    .slice(0, 14)
}

/** A whole number of 1 to `digitsMax` digits, at least `min`; undefined for any other text. */
export function numberOf(text: string, digitsMax: number, min = 0): number | undefined {
  const number = text.length > digitsMax ? -1 : valueOf(text)
  return number >= min ? number : undefined
}
