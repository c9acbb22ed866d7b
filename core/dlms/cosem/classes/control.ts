/**
 * Interface classes for time- and event-bound control: clock, scripts, calendars, monitors,
 * switches. [IEC 62056-6-2, 4.5]
 */
import type { AttributeTuple, ClassRow } from '../class-row.ts'
import { actionSet, array, attributeReference, names, script, structure, zero } from './parts.ts'
import type { CosemType } from '../type.ts'

const clockStatus: CosemType = {
  mask: ['invalid_value', 'doubtful_value', 'different_clock_base', 'invalid_clock_status', 'reserved_4', 'reserved_5', 'reserved_6', 'daylight_saving_active'],
  tag: 'unsigned',
}

const weekdays = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']
const scheduleEntry = structure({
  index: 'long-unsigned',
  enable: 'boolean',
  script_logical_name: 'obis',
  script_selector: 'long-unsigned',
  switch_time: 'octets-time',
  validity_window: 'long-unsigned',
  exec_weekdays: { bits: weekdays },
  // As many as there are day_ids in the special days table.
  exec_specdays: 'bit-string',
  begin_date: 'octets-date',
  end_date: 'octets-date',
})
const entryRanges = structure({ firstIndexA: 'long-unsigned', lastIndexA: 'long-unsigned', firstIndexB: 'long-unsigned', lastIndexB: 'long-unsigned' })
const specialDay = structure({ index: 'long-unsigned', specialday_date: 'octets-date', day_id: 'unsigned' })

const season = structure({ season_profile_name: 'octets-text', season_start: 'octets-date-time', week_name: 'octets-text' })
const week = structure({ week_profile_name: 'octets-text', ...Object.fromEntries(weekdays.map((day) => [day, 'unsigned' as const])) })
const day = structure({
  day_id: 'unsigned',
  day_schedule: array(structure({ start_time: 'octets-time', script_logical_name: 'obis', script_selector: 'long-unsigned' })),
})
const calendar = (state: 'active' | 'passive', hint: 'sr' | 'sw'): AttributeTuple[] => [
  [`calendar_name_${state}`, 'octets-text', hint],
  [`season_profile_${state}`, array(season), hint],
  [`week_profile_table_${state}`, array(week), hint],
  [`day_profile_table_${state}`, array(day), hint],
]
const parameterMonitor: AttributeTuple[] = [
  ['changed_parameter', structure({ class_id: 'long-unsigned', logical_name: 'obis', attribute_index: 'integer', attribute_value: 'any' }), 'dr'],
  ['capture_time', 'date-time', 'dr'],
  ['parameter_list', array(attributeReference), 'sw'],
]
const parameterMethods = [['add_parameter', attributeReference], ['delete_parameter', attributeReference]] as const
const disconnect = (modes: number): AttributeTuple[] => [
  ['output_state', 'boolean', 'dr'],
  ['control_state', names(['disconnected', 'connected', 'ready_for_reconnection']), 'dr'],
  ['control_mode', names(Array.from({ length: modes }, (_, mode) => `mode_${mode}`)), 'sw'],
]

export const controlClasses: readonly ClassRow[] = [
  {
    id: 8, versions: [0], name: 'Clock',
    attributes: [
      ['time', 'octets-date-time', 'dw'],
      ['time_zone', 'long', 'sw'],
      ['status', clockStatus, 'dr'],
      ['daylight_savings_begin', 'octets-date-time', 'sw'],
      ['daylight_savings_end', 'octets-date-time', 'sw'],
      ['daylight_savings_deviation', 'integer', 'sw'],
      ['daylight_savings_enabled', 'boolean', 'sw'],
      ['clock_base', names(['not_defined', 'internal_crystal', 'mains_frequency_50_Hz', 'mains_frequency_60_Hz', 'GPS', 'radio_controlled']), 'sr'],
    ],
    methods: [
      ['adjust_to_quarter', zero],
      ['adjust_to_measuring_period', zero],
      ['adjust_to_minute', zero],
      ['adjust_to_preset_time', zero],
      ['preset_adjusting_time', structure({ preset_time: 'octets-date-time', validity_interval_start: 'octets-date-time', validity_interval_end: 'octets-date-time' })],
      ['shift_time', 'long'],
    ],
    methodsAt: 0x60,
  },
  {
    id: 9, versions: [0], name: 'Script table',
    attributes: [
      [
        'scripts',
        array(
          structure({
            script_identifier: 'long-unsigned',
            actions: array(
              structure({ service_id: names({ 1: 'write_attribute', 2: 'execute_method' }), class_id: 'long-unsigned', logical_name: 'obis', index: 'integer', parameter: 'any' }),
            ),
          }),
        ),
        'sw',
      ],
    ],
    methods: [['execute', 'long-unsigned']],
    methodsAt: 0x20,
  },
  {
    id: 10, versions: [0], name: 'Schedule',
    attributes: [['entries', array(scheduleEntry), 'sw']],
    methods: [
      ['enable_disable', entryRanges],
      ['insert', scheduleEntry],
      ['delete', structure({ firstIndex: 'long-unsigned', lastIndex: 'long-unsigned' })],
    ],
    methodsAt: 0x20,
  },
  { id: 11, versions: [0], name: 'Special days table', attributes: [['entries', array(specialDay), 'sw']], methods: [['insert', specialDay], ['delete', 'long-unsigned']] },
  {
    id: 20, versions: [0], name: 'Activity calendar',
    attributes: [...calendar('active', 'sr'), ...calendar('passive', 'sw'), ['activate_passive_calendar_time', 'octets-date-time', 'sw']],
    methods: [['activate_passive_calendar', zero]],
  },
  {
    id: 21, versions: [0], name: 'Register monitor',
    attributes: [
      ['thresholds', array('any'), 'sw'],
      ['monitored_value', attributeReference, 'sw'],
      ['actions', array(actionSet), 'sw'],
    ],
  },
  {
    id: 22, versions: [0], name: 'Single action schedule',
    attributes: [
      ['executed_script', script, 'sw'],
      ['type', names({ 1: 'one_date_may_have_wildcards', 2: 'same_times_no_wildcards', 3: 'same_times_may_have_wildcards', 4: 'different_times_no_wildcards', 5: 'different_times_may_have_wildcards' }), 'sw'],
      ['execution_time', array(structure({ time: 'octets-time', date: 'octets-date' })), 'sw'],
    ],
  },
  { id: 65, versions: [0], name: 'Parameter monitor', attributes: parameterMonitor, methods: parameterMethods },
  {
    id: 65, versions: [1], name: 'Parameter monitor',
    attributes: [
      ...parameterMonitor,
      ['parameter_list_name', 'octets-text', 'sw'],
      ['hash_algorithm_id', 'enum', 'sw'],
      ['parameter_value_digest', 'octet-string', 'dr'],
      ['parameter_values', 'any', 'dr'],
    ],
    methods: parameterMethods,
  },
  {
    id: 68, versions: [0], name: 'Arbitrator',
    attributes: [
      ['actions', array(script), 'sw'],
      ['permissions_table', array('bit-string'), 'sw'],
      ['weightings_table', array(array('long-unsigned')), 'sw'],
      ['most_recent_requests_table', array('bit-string'), 'dr'],
      ['last_outcome', 'unsigned', 'dr'],
    ],
    methods: [['request_action', structure({ request_actor: 'unsigned', request_action_list: 'bit-string' })], ['reset', zero]],
  },
  { id: 70, versions: [0], name: 'Disconnect control', attributes: disconnect(7), methods: [['remote_disconnect', zero], ['remote_reconnect', zero]] },
  { id: 70, versions: [1], name: 'Disconnect control', attributes: disconnect(10), methods: [['remote_disconnect', zero], ['remote_reconnect', zero]] },
  {
    id: 71, versions: [0], name: 'Limiter',
    attributes: [
      ['monitored_value', attributeReference, 'sw'],
      ['threshold_active', 'any', 'dr'],
      ['threshold_normal', 'any', 'sw'],
      ['threshold_emergency', 'any', 'sw'],
      ['min_over_threshold_duration', 'double-long-unsigned', 'sw'],
      ['min_under_threshold_duration', 'double-long-unsigned', 'sw'],
      ['emergency_profile', structure({ emergency_profile_id: 'long-unsigned', emergency_activation_time: 'octets-date-time', emergency_duration: 'double-long-unsigned' }), 'sw'],
      ['emergency_profile_group_id_list', array('long-unsigned'), 'sw'],
      ['emergency_profile_active', 'boolean', 'dr'],
      ['actions', structure({ action_over_threshold: script, action_under_threshold: script }), 'sw'],
    ],
  },
]
