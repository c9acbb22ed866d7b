/**
 * Physical units by the number that scaler_unit has. @source IEC 62056-6-2, Register, enumerated
 * values for physical units
 */

export const unitNames: { readonly [code: number]: string } = {
  1: 'a', 2: 'mo', 3: 'wk', 4: 'd', 5: 'h', 6: 'min', 7: 's', 8: '°', 9: '°C', 10: 'currency',
  11: 'm', 12: 'm/s', 13: 'm³', 14: 'm³ (corrected)', 15: 'm³/h', 16: 'm³/h (corrected)', 17: 'm³/d', 18: 'm³/d (corrected)', 19: 'l', 20: 'kg',
  21: 'N', 22: 'Nm', 23: 'Pa', 24: 'bar', 25: 'J', 26: 'J/h', 27: 'W', 28: 'VA', 29: 'var', 30: 'Wh',
  31: 'VAh', 32: 'varh', 33: 'A', 34: 'C', 35: 'V', 36: 'V/m', 37: 'F', 38: 'Ω', 39: 'Ωm²/m', 40: 'Wb',
  41: 'T', 42: 'A/m', 43: 'H', 44: 'Hz', 45: '1/(Wh)', 46: '1/(varh)', 47: '1/(VAh)', 48: 'V²h', 49: 'A²h', 50: 'kg/s',
  51: 'S', 52: 'K', 53: '1/(V²h)', 54: '1/(A²h)', 55: '1/m³', 56: '%', 57: 'Ah',
  60: 'Wh/m³', 61: 'J/m³', 62: 'mol %', 63: 'g/m³', 64: 'Pa s', 65: 'J/kg', 66: 'g/cm²', 67: 'atm',
  70: 'dBm', 71: 'dBµV', 72: 'dB',
  128: 'in', 129: 'ft', 130: 'lb', 131: '°F', 132: '°R', 133: 'in²', 134: 'ft²', 135: 'acre', 136: 'in³', 137: 'ft³',
  138: 'acre ft', 139: 'gallon (imperial)', 140: 'gallon (US)', 141: 'lbf', 142: 'psi', 143: 'lb/ft³', 144: 'lb/(ft s)', 145: 'ft²/s', 146: 'Btu', 147: 'thm (EU)',
  148: 'thm (US)', 149: 'Btu/lb', 150: 'Btu/ft³', 151: 'cubic feet', 152: 'ft/s', 153: 'ft³/s', 154: 'ft³/min', 155: 'ft³/h', 156: 'ft³/d', 157: 'acre ft/s',
  158: 'acre ft/min', 159: 'acre ft/h', 160: 'acre ft/d', 161: 'imp gal', 162: 'imp gal/s', 163: 'imp gal/min', 164: 'imp gal/h', 165: 'imp gal/d', 166: 'US gal', 167: 'US gal/s',
  168: 'US gal/min', 169: 'US gal/h', 170: 'US gal/d', 171: 'Btu/s', 172: 'Btu/min', 173: 'Btu/h', 174: 'Btu/d',
  252: 'extended table', 253: 'reserved', 254: 'other', 255: 'count',
}

/** Codes of what has no unit: a bare count, or one that is said elsewhere. */
const unitless: ReadonlySet<number> = new Set([253, 254, 255])

/**
 * What stands behind a number of that unit: `Wh`, nothing for a count, `unit 200` for what is not
 * in the table.
 */
export function unitOf(code: number): string {
  if (unitless.has(code)) return ''
  return unitNames[code] ?? `unit ${code}`
}
