/**
 * Quantities of electricity, gas, heat and water by value group C, processing by D, and general
 * objects (C 0) by D and E.
 * [IEC 62056-6-1, Electricity, HCA, Thermal energy, Gas, Water]
 */

export const mediumNames: { readonly [a: number]: string } = {
  0: 'Abstract', 1: 'Electricity', 4: 'Heat cost allocator', 5: 'Thermal energy, cooling', 6: 'Thermal energy, heat', 7: 'Gas', 8: 'Cold water', 9: 'Hot water', 15: 'Other medium',
}

/**
 * C of all phases, 1 to 20; those of L1 to L3 are 20, 40 and 60 more. `{p}` is power, or energy
 * where it was integrated.
 */
export const phaseQuantities: readonly string[] = [
  '', 'active {p} import (+A)', 'active {p} export (-A)', 'reactive {p} import (+R)', 'reactive {p} export (-R)',
  'reactive {p} QI', 'reactive {p} QII', 'reactive {p} QIII', 'reactive {p} QIV', 'apparent {p} import (+VA)', 'apparent {p} export (-VA)',
  'current', 'voltage', 'power factor', 'supply frequency', 'active {p} absolute (|+A|+|-A|)', 'active {p} net (|+A|-|-A|)',
  'active {p} QI', 'active {p} QII', 'active {p} QIII', 'active {p} QIV',
]
export const electricityQuantities: { readonly [c: number]: string } = {
  81: 'angle', 82: 'pulses or pieces', 83: 'transformer and line losses', 84: 'power factor export', 85: 'power factor export L1', 86: 'power factor export L2', 87: 'power factor export L3',
  88: 'ampere-squared hours', 89: 'volt-squared hours', 90: 'current, sum of phases', 91: 'current neutral', 92: 'voltage neutral',
}
/** C whose E is a harmonic where D is instantaneous or an average. */
export const harmonicQuantities: ReadonlySet<number> = new Set([11, 12, 15, 31, 32, 35, 51, 52, 55, 71, 72, 75, 90, 91, 92])
/** Digits of E of C 81: the angle of the second from the first. */
export const angleEnds: readonly string[] = ['U L1', 'U L2', 'U L3', '', 'I L1', 'I L2', 'I L3', 'I neutral']
export const lossNames: readonly string[] = [
  '', 'active line losses +', 'active line losses -', 'active line losses', 'active transformer losses +', 'active transformer losses -', 'active transformer losses',
  'active losses +', 'active losses -', 'active losses', 'reactive line losses +', 'reactive line losses -', 'reactive line losses',
  'reactive transformer losses +', 'reactive transformer losses -', 'reactive transformer losses', 'reactive losses +', 'reactive losses -', 'reactive losses',
]

/** D that integrates over time: what was power is energy. */
export const integralNames: { readonly [d: number]: string } = {
  8: 'total', 9: 'in this billing period', 10: 'above the threshold', 17: 'time integral 7', 18: 'time integral 8', 19: 'time integral 9', 20: 'time integral 10',
  29: 'in recording interval 1', 30: 'in recording interval 2', 58: 'test time integral',
}
export const electricityProcessings: { readonly [d: number]: string } = {
  0: 'average of the billing period', 1: 'cumulative minimum 1', 2: 'cumulative maximum 1', 3: 'minimum 1', 4: 'current average 1', 5: 'last average 1', 6: 'maximum 1', 7: 'instantaneous',
  11: 'cumulative minimum 2', 12: 'cumulative maximum 2', 13: 'minimum 2', 14: 'current average 2', 15: 'last average 2', 16: 'maximum 2',
  21: 'cumulative minimum 3', 22: 'cumulative maximum 3', 23: 'minimum 3', 24: 'current average 3', 25: 'last average 3', 26: 'maximum 3', 27: 'current average 5', 28: 'current average 6',
  31: 'under limit, threshold', 32: 'under limit, occurrences', 33: 'under limit, duration', 34: 'under limit, magnitude', 35: 'over limit, threshold', 36: 'over limit, occurrences', 37: 'over limit, duration', 38: 'over limit, magnitude',
  39: 'missing, threshold', 40: 'missing, occurrences', 41: 'missing, duration', 42: 'missing, magnitude', 43: 'under limit, time threshold', 44: 'over limit, time threshold', 45: 'missing, time threshold', 46: 'contracted value',
  51: 'minimum of recording interval 1', 52: 'minimum of recording interval 2', 53: 'maximum of recording interval 1', 54: 'maximum of recording interval 2', 55: 'test average',
}

/** Electricity, C 0 and 96 to 99, where they are not as in the abstract table. */
export const electricityNames: { readonly [codes: string]: string } = {
  '0.0': 'electricity ID {e+1}', '0.1.0': 'billing period counter', '0.1.1': 'billing periods available', '0.1.2': 'time of the last billing period',
  '0.2.0': 'configuration program version', '0.2.1': 'parameter record number', '0.2.2': 'time switch program number', '0.2.3': 'ripple control program number', '0.2.4': 'connection diagram ID', '0.2.7': 'passive calendar name',
  '0.3.0': 'pulse constant of the LED, active energy', '0.3.1': 'pulse constant of the LED, reactive energy', '0.3.2': 'pulse constant of the LED, apparent energy',
  '0.3.3': 'pulse constant of the output, active energy', '0.3.4': 'pulse constant of the output, reactive energy', '0.3.5': 'pulse constant of the output, apparent energy',
  '0.4.0': 'reading factor for power', '0.4.1': 'reading factor for energy', '0.4.2': 'current transformer ratio, numerator', '0.4.3': 'voltage transformer ratio, numerator', '0.4.4': 'overall transformer ratio, numerator',
  '0.4.5': 'current transformer ratio, denominator', '0.4.6': 'voltage transformer ratio, denominator', '0.4.7': 'overall transformer ratio, denominator',
  '0.6.0': 'nominal voltage', '0.6.1': 'nominal current', '0.6.2': 'nominal frequency', '0.6.3': 'maximum current', '0.6.4': 'reference voltage for power quality', '0.6.5': 'reference voltage of the auxiliary supply',
  '0.8.0': 'measurement period 1', '0.8.1': 'measurement period 2', '0.8.2': 'measurement period 3', '0.8.4': 'recording interval 1', '0.8.5': 'recording interval 2', '0.8.6': 'billing period',
  '0.9.0': 'time since the last billing period', '0.9.1': 'local time', '0.9.2': 'local date', '0.9.5': 'day of week', '0.9.6': 'time of the last reset', '0.9.7': 'date of the last reset', '0.9.8': 'output pulse duration',
  '0.9.9': 'clock synchronisation window', '0.9.10': 'clock synchronisation method', '0.9.11': 'clock shift limit', '0.10': 'coefficient {e}', '0.11': 'measurement method {e}', '0': 'general object',
  '99.10.1': 'voltage dip profile', '99.10.2': 'voltage swell profile', '99.10.3': 'voltage cut profile', '99.11': 'voltage harmonic profile {e}', '99.12': 'current harmonic profile {e}', '99.13': 'voltage unbalance profile', '99.99': 'certification log {e}',
}

type MediumTable = { readonly quantities: { readonly [c: number]: string }; readonly processings: { readonly [d: number]: string } }

const thermal: MediumTable = {
  quantities: {
    1: 'energy', 2: 'accounted volume', 3: 'accounted mass', 4: 'flow volume', 5: 'flow mass', 6: 'return volume', 7: 'return mass', 8: 'power', 9: 'flow rate',
    10: 'flow temperature', 11: 'return temperature', 12: 'differential temperature', 13: 'media pressure',
  },
  processings: { 0: 'current value', 1: 'periodical value', 2: 'set date value', 3: 'billing date value', 4: 'minimum', 5: 'maximum', 6: 'test value' },
}
const water: MediumTable = { quantities: { 1: 'accumulated volume', 2: 'flow rate', 3: 'forward volume' }, processings: thermal.processings }
const gasVolumes = ['forward undisturbed', 'forward disturbed', 'forward absolute', 'reverse undisturbed', 'reverse disturbed', 'reverse absolute']

/** Media whose tables are short. */
export const otherMedia: { readonly [a: number]: MediumTable } = {
  4: { quantities: { 1: 'unrated integral', 2: 'rated integral', 3: 'radiator surface temperature', 4: 'heating medium temperature', 5: 'flow temperature', 6: 'return temperature', 7: 'room temperature' }, processings: thermal.processings },
  5: thermal,
  6: thermal,
  7: {
    quantities: {
      ...Object.fromEntries([['meter', 1], ['converter', 11], ['logger', 31]].flatMap(([by, first]) => gasVolumes.map((volume, i) => [Number(first) + i, `${volume} ${by} volume`] as const))),
      41: 'absolute temperature', 42: 'absolute pressure', 43: 'flow rate', 51: 'correction factor', 52: 'conversion factor', 53: 'compressibility', 54: 'superior calorific value',
    },
    processings: { 0: 'at metering conditions', 1: 'corrected', 2: 'at base conditions' },
  },
  8: water,
  9: water,
}
