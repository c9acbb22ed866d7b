/**
 * What the alert codes of GB devices mean, and who gets them, as data: alert-codes.json. Codes that
 * begin with 8F are critical, which the device signs; those with 80 and 81 are not. Pure.
 *
 * @source ../shared/domain/alerts.md; GBCS, alert codes
 */
import { assert } from '../base/assert.ts'
import table from './alert-codes.json' with { type: 'json' }
import type { Role } from './service-requests.ts'

export type AlertRecipient = 'supplier' | 'network-operator'

export type AlertCode = {
  readonly number: number
  /** Four hexadecimal digits, as 8F35. */
  readonly text: string
  readonly name: string
  readonly isCritical: boolean
  /** Empty where that is not known. */
  readonly recipients: readonly AlertRecipient[]
  /** False for codes that are delivered however often they come. */
  readonly isThrottled: boolean
}

/** Roles of parties that are meant. A meter has one supplier of what is consumed. */
const rolesOf: Readonly<Record<AlertRecipient, readonly Role[]>> = {
  supplier: ['IS', 'GS'],
  'network-operator': ['ED', 'GT'],
}

const recipientsIn = (text: string): AlertRecipient[] =>
  text === ''
    ? []
    : text.split(' ').map((word) => {
        assert(word in rolesOf, `alert-codes.json: ${word}`)
        return word as AlertRecipient
      })

type Row = { code: string; name: string; critical: boolean; to: string; always?: boolean }
const rows: readonly Row[] = table.codes
export const alertCodes: readonly AlertCode[] = rows.map(
  ({ code, name, critical, to, always }) => ({
    number: Number.parseInt(code, 16),
    text: code,
    name,
    isCritical: critical,
    recipients: recipientsIn(to),
    isThrottled: always !== true,
  }),
)

const byNumber = new Map(alertCodes.map((row) => [row.number, row]))
assert(byNumber.size === alertCodes.length, 'alert-codes.json: a code stands twice')
for (const { text, number, isCritical } of alertCodes)
  assert(
    /^8[01F][0-9A-F]{2}$/.test(text) && isCritical === number >= 0x8f00,
    `alert-codes.json: ${text}`,
  )

/** Undefined for a number that is no alert code. */
export const alertCodeOf = (number: number): AlertCode | undefined => byNumber.get(number)

/** True for a code of which the excess is held; a message without a known code never is. */
export const isThrottled = (number: number): boolean => byNumber.get(number)?.isThrottled === true

export const recipientsOfUnknown: readonly AlertRecipient[] = recipientsIn(table.unknown)

const roles = (recipients: readonly AlertRecipient[]): ReadonlySet<Role> =>
  new Set(recipients.flatMap((recipient) => rolesOf[recipient]))
const rolesOfUnknown = roles(recipientsOfUnknown)
const rolesByNumber = new Map(
  alertCodes.map(({ number, recipients }) => [
    number,
    recipients.length === 0 ? rolesOfUnknown : roles(recipients),
  ]),
)

/** Roles of the parties that get an alert with this code; 0 for a message without a known one. */
export const alertRolesOf = (number: number): ReadonlySet<Role> =>
  rolesByNumber.get(number) ?? rolesOfUnknown
