/**
 * One simulated meter: a small plain object, since one process holds 50,000. It answers COSEM
 * services by descriptor, as the server role of core/dlms asks: it finds the object among those of
 * its kind, which reads or changes the meter's state. Stations 9 and 10 of the path, seen from the
 * other end; associations and sockets are elsewhere.
 */
import { DataAccessResult } from '../../core/dlms/apdu/constants.ts'
import type { SimulatedObject } from './objects/cosem-object.ts'
import { noLink, type Link } from './model/access-link.ts'
import { MeterState, type MeterModel } from './model/meter-state.ts'
import { tableOf } from './objects/meter-objects.ts'
import type { ObjectTable } from './objects/object-table.ts'
import { counterObisDefault } from './objects/security-objects.ts'
import { gasMeterBehind, isPrepaid } from './model/population.ts'

export class Meter extends MeterState {
  /** Shared by all meters of its kind. */
  override readonly table: ObjectTable

  constructor(model: MeterModel, number: number) {
    super(model, number)
    this.table = tableOf({
      type: this.type,
      guard: this.guard,
      isPrepaid: isPrepaid(this.type, this.seed),
      hasGasMeter: gasMeterBehind(model.population, number) !== undefined,
      counterObis: this.quirks.counterObis ?? counterObisDefault,
    })
  }

  /** The gas meter that this one reads over M-Bus. */
  override get gasMeter(): MeterState | undefined {
    const number = gasMeterBehind(this.model.population, this.number)
    if (number === undefined) return undefined
    return this.model.meterOf?.(number) ?? new Meter(this.model, number)
  }

  /** The object, or why there is none for that client. */
  private objectFor(descriptor: Buffer, link: Link): SimulatedObject | number {
    const object = this.table.find(descriptor)
    if (object === undefined || object.isThere?.(link) === false)
      return DataAccessResult.OBJECT_UNDEFINED
    if (object.classId !== ((descriptor[0]! << 8) | descriptor[1]!))
      return DataAccessResult.OBJECT_CLASS_INCONSISTENT
    if (link.role === 'public' && !object.isPublic) return DataAccessResult.READ_WRITE_DENIED
    return object
  }

  override get(
    descriptor: Buffer,
    selection: Buffer | undefined,
    link: Link = noLink,
  ): Buffer | number {
    const object = this.objectFor(descriptor, link)
    if (typeof object === 'number') return object
    const attribute = descriptor[8]!
    if (attribute === 1)
      return selection === undefined
        ? object.logicalName
        : DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    if (attribute === 0 || attribute > object.attributeMax)
      return DataAccessResult.READ_WRITE_DENIED
    if (selection !== undefined && object.selectors.length === 0)
      return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return object.read(this, attribute, this.model.clock.now(), selection, link)
  }

  override set(
    descriptor: Buffer,
    selection: Buffer | undefined,
    valueView: Buffer,
    link: Link = noLink,
  ): number {
    const object = this.objectFor(descriptor, link)
    if (typeof object === 'number') return object
    if (object.write === undefined || link.role === 'public')
      return DataAccessResult.READ_WRITE_DENIED
    if (selection !== undefined) return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return object.write(this, descriptor[8]!, valueView, this.model.clock.now())
  }

  override invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
    link: Link = noLink,
  ): { result: number; value?: Buffer } {
    const object = this.objectFor(descriptor, link)
    if (typeof object === 'number') return { result: object }
    if (object.invoke === undefined || link.role === 'public')
      return { result: DataAccessResult.READ_WRITE_DENIED }
    const outcome = object.invoke(this, descriptor[8]!, parameterView, this.model.clock.now())
    return typeof outcome === 'number' ? { result: outcome } : outcome
  }
}
