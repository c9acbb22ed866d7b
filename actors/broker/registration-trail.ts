/**
 * What the ledger says of who is registered at some meter points, item by item with its place. A
 * fold over ticks in their order; pure.
 */
import { readKind, readTarget } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import type { RegistrationOrder } from '../../core/registration/registration-change.ts'
import { dayStartMs, type KnownItem } from '../../core/registration/registrations.ts'
import type { RightsPeriod } from '../../core/registration/rights.ts'
import { readFact } from '../meter-point/facts.ts'

export type PlacedItem = KnownItem & {
  readonly sequence: number
  readonly order: RegistrationOrder
  /** Who or what has registered it. */
  readonly by: string
}

/** Items of one meter point that are kept, the last ones. */
const itemsMax = 1_000

export class RegistrationTrail {
  private readonly items: Map<MeterPointId, PlacedItem[]>

  constructor(points: readonly MeterPointId[]) {
    this.items = new Map(points.map((point) => [point, []]))
  }

  read({ sequence, data }: LedgerMessage): void {
    readTickMessage(
      data,
      (_partition, frame) =>
        forEachEnvelope(frame, chainLinkBytes, (at) => {
          if (readKind(frame, at) !== Kind.METER_POINT_REGISTERED) return
          const list = this.items.get(readTarget(frame, at) as MeterPointId)
          if (list === undefined) return
          const fact = readFact(frame, at)
          if (fact.type !== 'METER_POINT_REGISTERED') return
          const { order, by } = fact
          for (const item of fact.items) list.push({ ...item, sequence, order, by })
          if (list.length > itemsMax) list.splice(0, list.length - itemsMax)
        }),
      undefined,
    )
  }

  /** The item that gives `period` at `atMs`: the last one received of those that cover it. */
  sourceOf(point: MeterPointId, period: RightsPeriod, atMs: number): PlacedItem | undefined {
    const name = itemOf[period.role]
    return this.items
      .get(point)
      ?.findLast(
        ({ item, value, from, to }) =>
          item === name &&
          value === period.participant &&
          dayStartMs(from) <= atMs &&
          (to === undefined || atMs < dayStartMs(to, 1)),
      )
  }
}

/** The item of registration data that gives a role its right. */
const itemOf: Readonly<Partial<Record<RightsPeriod['role'], KnownItem['item']>>> = {
  IS: 'supplier',
  ES: 'supplier',
  GS: 'supplier',
  ED: 'network-operator',
  GT: 'network-operator',
  RSA: 'agent',
}
