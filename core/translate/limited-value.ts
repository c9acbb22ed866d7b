/**
 * Values inside the body of a request that anomaly detection may limit (core/access/thresholds.ts).
 * Pure.
 */
import type { LimitedField, ValueLimit } from '../access/thresholds.ts'
import type { Srv } from '../base/srv.ts'
import { emptyBodyFields, readBody } from './body.ts'
import { BodyType } from './body-types.ts'

const dayMs = 86_400_000
const fields = emptyBodyFields()

/** Which body has a field. */
const typeOf: Readonly<Record<LimitedField, number>> = {
  tolerance_seconds: BodyType.SYNCHRONISE_CLOCK,
  period_days: BodyType.READ_PERIOD,
  text_characters: BodyType.DISPLAY_MESSAGE,
}

/**
 * The value of `field` in a body, in the unit of its name; a part of a day counts as a day.
 * Undefined when the body is of another type, or breaks the rules of its type.
 * @param bodyType  field number in the oneof
 * @param nowMs  UTC, by which periods are checked
 */
export function limitedValue(
  field: LimitedField,
  bodyType: number,
  bodyView: Buffer,
  nowMs: number,
): number | undefined {
  if (typeOf[field] !== bodyType) return undefined
  const place = { bodyType, bodyStart: 0, bodyEnd: bodyView.length }
  if (readBody(bodyView, place, nowMs, fields) !== undefined) return undefined
  switch (field) {
    case 'tolerance_seconds':
      return fields.toleranceSeconds
    case 'period_days':
      return Math.ceil((fields.toMs - fields.fromMs) / dayMs)
    case 'text_characters':
      return Array.from(bodyView.toString('utf8', fields.textStart, fields.textEnd)).length
  }
}

/** True when a value in the body of a request for `srv` is outside one of the limits. */
export const isOutsideLimits = (
  limits: readonly ValueLimit[],
  srv: Srv,
  bodyType: number,
  bodyView: Buffer,
  nowMs: number,
): boolean =>
  limits.some(({ srv: limited, field, min, max }) => {
    if (limited !== srv) return false
    const value = limitedValue(field, bodyType, bodyView, nowMs)
    return value !== undefined && (value < min || value > max)
  })
