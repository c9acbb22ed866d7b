/** Interface classes for parameters and measured values. [IEC 62056-6-2, 4.3] */
import type { ClassRow } from '../class-row.ts'
import type { CosemType } from '../type.ts'
import { actionSet, array, attributeReference, captureObject, choice, names, objectDefinition, scalerUnit, structure, zero } from './parts.ts'

const maskDefinition = structure({ mask_name: 'octets-text', index_list: array('unsigned') })

/** The order of a profile's entries, from 1. */
const sortMethods = { 1: 'fifo', 2: 'lifo', 3: 'largest', 4: 'smallest', 5: 'nearest_to_zero', 6: 'farest_from_zero' } as const

// A buffer is read by its columns (profile.ts); without them its rows are what they are.
const buffer: CosemType = 'any'

const reset = ['reset', zero] as const
const capture = ['capture', zero] as const

const profile = [
  ['buffer', buffer, 'dr'],
  ['capture_objects', array(captureObject), 'sw'],
  ['capture_period', 'double-long-unsigned', 'sw'],
  ['sort_method', names(sortMethods), 'sw'],
  ['sort_object', captureObject, 'sw'],
  ['entries_in_use', 'double-long-unsigned', 'dr'],
  ['profile_entries', 'double-long-unsigned', 'sw'],
] as const

const restriction = structure({
  restriction_type: names(['none', 'date', 'entry']),
  // Nothing, two dates, or two entry numbers.
  restriction_value: 'any',
})

const compactCaptureObject = structure({
  class_id: 'long-unsigned',
  logical_name: 'obis',
  attribute_index: 'integer',
  data_index: 'long-unsigned',
  restriction,
  columns: array(captureObject),
})

const compactData = (column: CosemType): ClassRow['attributes'] => [
  ['compact_buffer', 'octet-string', 'dr'],
  ['capture_objects', array(column), 'sw'],
  ['template_id', 'unsigned', 'sw'],
  ['template_description', 'octet-string', 'dr'],
  ['capture_method', names(['upon_invoking', 'implicit']), 'sw'],
]

export const measurementClasses: readonly ClassRow[] = [
  { id: 1, versions: [0], name: 'Data', attributes: [['value', 'any', 'dr']] },
  {
    id: 3, versions: [0], name: 'Register',
    attributes: [['value', 'any', 'dr'], ['scaler_unit', scalerUnit, 'sr']],
    methods: [reset], methodsAt: 0x28,
  },
  {
    id: 4, versions: [0], name: 'Extended register',
    attributes: [['value', 'any', 'dr'], ['scaler_unit', scalerUnit, 'sr'], ['status', 'any', 'dr'], ['capture_time', 'octets-date-time', 'dr']],
    methods: [reset], methodsAt: 0x38,
  },
  {
    id: 5, versions: [0], name: 'Demand register',
    attributes: [
      ['current_average_value', 'any', 'dr'],
      ['last_average_value', 'any', 'dr'],
      ['scaler_unit', scalerUnit, 'sr'],
      ['status', 'any', 'dr'],
      ['capture_time', 'octets-date-time', 'dr'],
      ['start_time_current', 'octets-date-time', 'dr'],
      ['period', 'double-long-unsigned', 'sw'],
      ['number_of_periods', 'long-unsigned', 'sw'],
    ],
    methods: [reset, ['next_period', zero]],
  },
  {
    id: 6, versions: [0], name: 'Register activation',
    attributes: [
      ['register_assignment', array(objectDefinition), 'sw'],
      ['mask_list', array(maskDefinition), 'sw'],
      ['active_mask', 'octets-text', 'dw'],
    ],
    methods: [['add_register', objectDefinition], ['add_mask', maskDefinition], ['delete_mask', 'octets-text']],
    methodsAt: 0x30,
  },
  { id: 7, versions: [1], name: 'Profile generic', attributes: profile, methods: [reset, capture], methodsAt: 0x58 },
  {
    id: 7, versions: [0], name: 'Profile generic', attributes: profile,
    methods: [reset, capture, ['get_buffer_by_range', 'any', 'any'], ['get_buffer_by_index', 'any', 'any']], methodsAt: 0x58,
  },
  {
    id: 26, versions: [0], name: 'Utility tables',
    attributes: [['table_ID', 'long-unsigned', 'sr'], ['length', 'double-long-unsigned', 'dr'], ['buffer', 'octet-string', 'dw']],
  },
  {
    id: 61, versions: [0], name: 'Register table',
    attributes: [
      ['table_cell_values', 'any', 'dr'],
      [
        'table_cell_definition',
        structure({ class_id: 'long-unsigned', logical_name: 'obis', group_E_values: array('unsigned'), attribute_index: 'integer' }),
        'sw',
      ],
      ['scaler_unit', scalerUnit, 'sr'],
    ],
    methods: [reset, capture], methodsAt: 0x28,
  },
  { id: 62, versions: [0], name: 'Compact data', attributes: compactData(captureObject), methods: [reset, capture] },
  { id: 62, versions: [1], name: 'Compact data', attributes: compactData(compactCaptureObject), methods: [reset, capture] },
  {
    id: 63, versions: [0], name: 'Status mapping',
    attributes: [
      ['status_word', 'any', 'dr'],
      ['mapping_table', structure({ ref_table_id: 'unsigned', ref_table_mapping: choice('long-unsigned', array('long-unsigned')) }), 'sr'],
    ],
  },
  {
    id: 66, versions: [0], name: 'Measurement data monitoring',
    attributes: [
      ['waveform_data', 'any', 'dr'],
      ['trigger_time', 'long64-unsigned', 'dr'],
      ['trigger_source', structure({ trigger_origin: names(['remote', 'local_script']), trigger_cause: 'long-unsigned' }), 'dr'],
      ['status', 'enum', 'dr'],
      ['sampling_rate', 'double-long-unsigned', 'sw'],
      ['number_of_samples_before_trigger', 'double-long-unsigned', 'sw'],
      ['number_of_samples_after_trigger', 'double-long-unsigned', 'sw'],
      ['scaler_unit', scalerUnit, 'sr'],
    ],
    methods: [reset, ['trigger', zero]],
  },
  {
    id: 67, versions: [0], name: 'Sensor manager',
    attributes: [
      ['serial_number', 'octets-text', 'sr'],
      ['metrological_identification', 'octets-text', 'sr'],
      ['output_type', names(['not_defined', '4_20_mA', '0_20_mA', '0_5_V', '0_10_V', 'PT100', 'PT500', 'PT1000']), 'sw'],
      ['adjustment_method', 'octets-text', 'sw'],
      ['sealing_method', names(['not_defined', 'no_sealing', 'strap', 'hologram', 'plombing']), 'sw'],
      ['raw_value', 'any', 'dr'],
      ['scaler_unit', scalerUnit, 'sr'],
      ['status', 'any', 'dr'],
      ['capture_time', 'octets-date-time', 'dr'],
      ['raw_value_thresholds', array('any'), 'sw'],
      ['raw_value_actions', array(actionSet), 'sw'],
      ['processed_value', attributeReference, 'sw'],
      ['processed_value_thresholds', array('any'), 'sw'],
      ['processed_value_actions', array(actionSet), 'sw'],
    ],
    methods: [reset], methodsAt: 0x80,
  },
]
