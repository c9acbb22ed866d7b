/**
 * Meter points and what registration data says of them. Types only: the parsers of registration
 * files produce records, and the actor of the meter point folds them into its timeline.
 */
export type Fuel = 'electricity' | 'gas'

/** Identifies a meter point: an MPAN (13 digits) or an MPRN (up to 10 digits), as text. */
export type MeterPoint = { readonly fuel: Fuel; readonly number: string }

/** What a dated item is about. */
export type ItemKind =
  | 'supplier'
  | 'network-operator'
  | 'agent'
  | 'energisation'
  | 'profile-class'
  | 'domestic'
  | 'direction'
  | 'related'

/**
 * One dated item. Days are UTC days as numbers YYYYMMDD; `to` is the last day included, undefined
 * for open. The value of a supplier, network operator or agent is a market participant id.
 */
export type RegistrationItem = {
  readonly item: ItemKind
  readonly value: string
  readonly from: number
  readonly to?: number
}

/** All items that one instruction gives for one meter point. */
export type RegistrationRecord = {
  readonly point: MeterPoint
  readonly items: readonly RegistrationItem[]
}
