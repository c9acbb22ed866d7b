/**
 * Measured values as exact decimals: an integer and a power of ten, never by way of binary
 * fractions. [IEC 62056-6-2, Register, scaler]
 */
import { BrokerError } from '../../base/broker-error.ts'

/**
 * `12.345` of 12345 and -3. The number of decimals says how fine the meter counts: 100 and -2 is
 * `1.00`. `scaler` -128 to 127.
 */
export function scaledText(value: bigint, scaler: number): string {
  if (scaler >= 0) return value === 0n ? '0' : `${value}${'0'.repeat(scaler)}`
  const digits = (value < 0n ? -value : value).toString().padStart(1 - scaler, '0')
  const point = digits.length + scaler
  return `${value < 0n ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`
}

/**
 * The shortest decimal that stands for a binary fraction of 32 or 64 bits, times ten to the
 * `scaler`; NaN and infinities as they are.
 */
export function scaledFloatText(value: number, isFloat32: boolean, scaler: number): string {
  if (!Number.isFinite(value)) return String(value)
  const [mantissa = '0', exponent = '0'] = shortest(value, isFloat32).split('e')
  const [whole = '0', fraction = ''] = mantissa.split('.')
  const digits = BigInt(whole + fraction)
  const power = Number(exponent) - fraction.length + scaler
  if (digits === 0n) return '0'
  return power > 0 ? scaledText(digits, power) : trimmed(scaledText(digits, power))
}

/**
 * The integer that `text` stands for at that scaler: 12345 of `12.345` and -3.
 * @throws BrokerError DLMS_VALUE_INVALID for what is no decimal, or finer than the scaler
 */
export function unscaled(text: string, scaler: number): bigint {
  const match = /^(-?)(\d{1,400})(?:\.(\d{1,400}))?$/.exec(text)
  if (match === null)
    throw new BrokerError('DLMS_VALUE_INVALID', `'${text.slice(0, 40)}' is no decimal`)
  const [, sign, whole = '', fraction = ''] = match
  const power = -fraction.length - scaler
  const digits = BigInt(whole + fraction)
  const divisor = 10n ** BigInt(Math.max(0, -power))
  if (digits % divisor !== 0n)
    throw new BrokerError(
      'DLMS_VALUE_INVALID',
      `${text.slice(0, 40)} is finer than ten to the ${scaler}`,
    )
  const value = power >= 0 ? digits * 10n ** BigInt(power) : digits / divisor
  return sign === '-' ? -value : value
}

function shortest(value: number, isFloat32: boolean): string {
  if (isFloat32)
    for (let digits = 1; digits < 9; digits++) {
      const text = value.toExponential(digits - 1)
      if (Math.fround(Number(text)) === value) return text
    }
  return isFloat32 ? value.toExponential(8) : value.toExponential()
}

function trimmed(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
