/**
 * The shape of the tables in classes/: what an interface class is, as data. [IEC 62056-6-2, Class
 * description notation]
 */
import type { CosemType } from './type.ts'

/**
 * d dynamic, s static; r read only, w writable too, in the standard's words and as most meters
 * grant it.
 */
export type AttributeHint = 'dr' | 'dw' | 'sr' | 'sw'

export type AttributeTuple = readonly [name: string, type: CosemType, hint: AttributeHint]
/** `returns` only where the method does. */
export type MethodTuple = readonly [name: string, parameter: CosemType, returns?: CosemType]

/** One class in one or several versions that do not differ. */
export type ClassRow = {
  readonly id: number
  readonly versions: readonly number[]
  readonly name: string
  /** From attribute 2 on; attribute 1 is the logical name of all of them. */
  readonly attributes: readonly AttributeTuple[]
  /** From method 1 on. */
  readonly methods?: readonly MethodTuple[]
  /**
   * Short name of method 1 less the base name, where it is not the place behind the last attribute.
   */
  readonly methodsAt?: number
}
