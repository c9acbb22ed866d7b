/**
 * Time zones of devices by name: IANA names, and offsets that hold all year (`+01:00`) for devices
 * that keep standard time. The rules are those of the runtime, by Temporal. Pure: the same name and
 * time give the same answer.
 */
import { Temporal } from 'temporal-polyfill'
import { limits } from '../base/limits.ts'
import type { LocalZone } from '../dlms/axdr/local-time.ts'

const dayMs = 86_400_000
const namePattern = /^(?:[A-Za-z][A-Za-z0-9._+/-]*|[+-]\d{2}:\d{2})$/
const zones = new Map<string, LocalZone>()

/** What operators are shown where a name is unknown. */
export const timeZoneWords =
  'an IANA name such as Europe/Berlin, or an offset that holds all year such as +01:00'

/** The zone of that name; undefined for an unknown name. Shared. */
export function timeZoneOf(name: string): LocalZone | undefined {
  const known = zones.get(name)
  if (known !== undefined) return known
  if (name.length > limits.zoneNameCharactersMax || !namePattern.test(name)) return undefined
  let zone: LocalZone
  try {
    zone = new RuledZone(name)
  } catch (fault) {
    if (fault instanceof RangeError) return undefined
    throw fault
  }
  if (zones.size < limits.zonesRememberedMax) zones.set(name, zone)
  return zone
}

/** A span of time in which the distance from UTC does not change. */
type Span = { fromMs: number; toMs: number; offsetMs: number }

class RuledZone implements LocalZone {
  readonly name: string
  /** Most times that are asked for follow one another. */
  private span: Span
  /** Days of registration data go back and forth between years: to ask the rules costs 50 µs. */
  private readonly spans: Span[]

  /** @throws RangeError for an unknown name */
  constructor(name: string) {
    this.name = name
    this.span = spanAt(name, 0)
    this.spans = [this.span]
  }

  localMsOf(utcMs: number): number {
    return utcMs + this.spanOf(utcMs).offsetMs
  }

  utcMsOf(localMs: number): readonly number[] {
    // No clock is further than a day from UTC, and none moves twice within two days.
    const before = this.spanOf(localMs - dayMs).offsetMs
    const after = this.spanOf(localMs + dayMs).offsetMs
    if (before === after) return [localMs - before]
    const [early, late] = [localMs - before, localMs - after]
    const isEarly = this.localMsOf(early) === localMs
    const isLate = this.localMsOf(late) === localMs
    if (isEarly && isLate) return [early, late]
    // A time that is left out: the rule before the change holds.
    return [isLate ? late : early]
  }

  localRangeOf(fromUtcMs: number, toUtcMs: number): { fromLocalMs: number; toLocalMs: number } {
    let fromLocalMs = this.localMsOf(fromUtcMs)
    let toLocalMs = this.localMsOf(toUtcMs)
    // Clocks that are put back within the range show times before its first, or behind its last.
    const afterFromMs = this.spanOf(fromUtcMs).toMs
    if (afterFromMs <= toUtcMs) fromLocalMs = Math.min(fromLocalMs, this.localMsOf(afterFromMs))
    const { fromMs: beforeToMs } = this.spanOf(toUtcMs)
    if (beforeToMs > fromUtcMs) toLocalMs = Math.max(toLocalMs, this.localMsOf(beforeToMs - 1))
    return { fromLocalMs, toLocalMs }
  }

  private spanOf(utcMs: number): Span {
    if (!isIn(this.span, utcMs))
      this.span = this.spans.find((span) => isIn(span, utcMs)) ?? this.added(utcMs)
    return this.span
  }

  private added(utcMs: number): Span {
    const span = spanAt(this.name, utcMs)
    if (this.spans.length >= limits.zoneSpansRememberedMax) this.spans.shift()
    this.spans.push(span)
    return span
  }
}

const isIn = ({ fromMs, toMs }: Span, utcMs: number): boolean => fromMs <= utcMs && utcMs < toMs

function spanAt(name: string, utcMs: number): Span {
  const at = Temporal.Instant.fromEpochMilliseconds(Math.floor(utcMs)).toZonedDateTimeISO(name)
  // The transition at this very moment is "previous" only to the moment behind it.
  const from = at.add({ milliseconds: 1 }).getTimeZoneTransition('previous')
  const to = at.getTimeZoneTransition('next')
  return {
    fromMs: from?.epochMilliseconds ?? Number.NEGATIVE_INFINITY,
    toMs: to?.epochMilliseconds ?? Number.POSITIVE_INFINITY,
    offsetMs: Math.round(at.offsetNanoseconds / 1_000_000),
  }
}
