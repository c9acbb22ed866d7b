/**
 * Types that several classes share. [IEC 62056-6-2, Common data types and the classes that name
 * them first]
 */
import { unitNames } from '../units.ts'
import type { CosemType, ValueNames } from '../type.ts'

/** Parameter of methods that take none: integer 0. */
export const zero: CosemType = 'integer'

export const array = (of: CosemType): CosemType => ({ array: of })
export const structure = (fields: { readonly [field: string]: CosemType }): CosemType => ({ structure: fields })
export const choice = (...of: CosemType[]): CosemType => ({ choice: of })
export const names = (values: ValueNames): CosemType => ({ enum: values })

export const scalerUnit = structure({ scaler: 'integer', unit: names(unitNames) })

/** A column of a profile. [4.3.6, capture_object_definition] */
export const captureObject = structure({
  class_id: 'long-unsigned',
  logical_name: 'obis',
  attribute_index: 'integer',
  data_index: 'long-unsigned',
})

export const attributeReference = structure({
  class_id: 'long-unsigned',
  logical_name: 'obis',
  attribute_index: 'integer',
})

export const script = structure({ script_logical_name: 'obis', script_selector: 'long-unsigned' })

/** What a monitor does when a threshold is passed, either way. [4.5.6, action_set] */
export const actionSet = structure({ action_up: script, action_down: script })

export const objectDefinition = structure({ class_id: 'long-unsigned', logical_name: 'obis' })
