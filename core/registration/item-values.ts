/** Which values the items of registration data may have. */
import { isMpan } from './mpan.ts'
import type { ItemKind } from './registration-record.ts'

const participant = /^[A-Z0-9]{1,4}$/

const isValue: Readonly<Record<ItemKind, (value: string) => boolean>> = {
  supplier: (value) => participant.test(value),
  'network-operator': (value) => participant.test(value),
  agent: (value) => participant.test(value),
  energisation: (value) => value === 'E' || value === 'D',
  'profile-class': (value) => /^0[0-8]$/.test(value),
  domestic: (value) => value === 'T' || value === 'F',
  direction: (value) => value === 'I' || value === 'E',
  // Related points are found by their own records: the check digit is checked there.
  related: isMpan,
}

/** True for a value of `kind` as registration files have it. */
export const isItemValue = (kind: ItemKind, value: string): boolean => isValue[kind](value)
