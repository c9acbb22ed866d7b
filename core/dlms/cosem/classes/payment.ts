/** Interface classes for payment metering. There is no class 114. [IEC 62056-6-2, 4.6] */
import type { ClassRow } from '../class-row.ts'
import { array, attributeReference, names, structure, zero } from './parts.ts'

const chargeTable = array(structure({ index: 'octet-string', charge_per_unit: 'long' }))
const unitCharge = structure({
  charge_per_unit_scaling: structure({ commodity_scale: 'integer', price_scale: 'integer' }),
  commodity_reference: attributeReference,
  charge_table: chargeTable,
})
const tokenStatus = structure({
  status_code: names([
    'format_result_OK', 'authentication_result_OK', 'validation_result_OK', 'token_execution_result_OK',
    'format_failure', 'authentication_failure', 'validation_result_failure', 'token_execution_result_failure', 'token_received_and_not_yet_processed',
  ]),
  data_value: 'bit-string',
})

export const paymentClasses: readonly ClassRow[] = [
  {
    id: 111, versions: [0], name: 'Account',
    attributes: [
      [
        'account_mode_and_status',
        structure({ account_mode: names({ 1: 'credit_mode', 2: 'prepayment_mode' }), account_status: names({ 1: 'new_inactive_account', 2: 'account_active', 3: 'account_closed' }) }),
        'dr',
      ],
      ['current_credit_in_use', 'unsigned', 'dr'],
      [
        'current_credit_status',
        { bits: ['in_credit', 'low_credit', 'next_credit_enabled', 'next_credit_selectable', 'credit_reference_list', 'selectable_credit_in_use', 'out_of_credit', 'reserved_7'] },
        'dr',
      ],
      ['available_credit', 'double-long', 'dr'],
      ['amount_to_clear', 'double-long', 'dr'],
      ['clearance_threshold', 'double-long', 'sw'],
      ['aggregated_debt', 'double-long', 'dr'],
      ['credit_reference_list', array('obis'), 'sw'],
      ['charge_reference_list', array('obis'), 'sw'],
      [
        'credit_charge_configuration',
        array(structure({
          credit_reference: 'obis', charge_reference: 'obis',
          collection_configuration: { bits: ['collect_when_supply_disconnected', 'collect_in_load_limiting_periods', 'collect_in_friendly_credit_periods'] },
        })),
        'sw',
      ],
      ['token_gateway_configuration', array(structure({ credit_reference: 'obis', token_proportion: 'unsigned' })), 'sw'],
      ['account_activation_time', 'octets-date-time', 'sw'],
      ['account_closure_time', 'octets-date-time', 'sw'],
      ['currency', structure({ currency_name: 'utf8-string', currency_scale: 'integer', currency_unit: names(['time', 'consumption', 'monetary']) }), 'sw'],
      ['low_credit_threshold', 'double-long', 'sw'],
      ['next_credit_available_threshold', 'double-long', 'sw'],
      ['max_provision', 'long-unsigned', 'sw'],
      ['max_provision_period', 'double-long', 'sw'],
    ],
    methods: [['activate_account', zero], ['close_account', zero], ['reset_account', zero]],
  },
  {
    id: 112, versions: [0], name: 'Credit',
    attributes: [
      ['current_credit_amount', 'double-long', 'dr'],
      ['credit_type', names(['token_credit', 'reserved_credit', 'emergency_credit', 'time_based_credit', 'consumption_based_credit']), 'sw'],
      ['priority', 'unsigned', 'sw'],
      ['warning_threshold', 'double-long', 'sw'],
      ['limit', 'double-long', 'sw'],
      [
        'credit_configuration',
        { bits: ['requires_visual_indication', 'requires_confirmation', 'requires_payback_when_repaid', 'resettable', 'able_to_receive_from_tokens'] },
        'sw',
      ],
      ['credit_status', names(['enabled', 'selectable', 'selected', 'in_use', 'exhausted']), 'dr'],
      ['preset_credit_amount', 'double-long', 'sw'],
      ['credit_available_threshold', 'double-long', 'sw'],
      ['period', 'octets-date-time', 'sw'],
    ],
    methods: [['update_amount', 'double-long'], ['set_amount_to_value', 'double-long', 'double-long'], ['invoke_credit', zero]],
  },
  {
    id: 113, versions: [0], name: 'Charge',
    attributes: [
      ['total_amount_paid', 'double-long', 'dr'],
      ['charge_type', names(['consumption_based_collection', 'time_based_collection', 'payment_event_based_collection']), 'sw'],
      ['priority', 'unsigned', 'sw'],
      ['unit_charge_active', unitCharge, 'sr'],
      ['unit_charge_passive', unitCharge, 'sw'],
      ['unit_charge_activation_time', 'octets-date-time', 'sw'],
      ['period', 'double-long-unsigned', 'sw'],
      ['charge_configuration', { bits: ['percentage_based_collection', 'continuous_collection'] }, 'sw'],
      ['last_collection_time', 'octets-date-time', 'dr'],
      ['last_collection_amount', 'double-long', 'dr'],
      ['total_amount_remaining', 'double-long', 'dr'],
      ['proportion', 'long-unsigned', 'sw'],
    ],
    methods: [
      ['update_unit_charge', chargeTable],
      ['activate_passive_unit_charge', zero],
      ['collect', zero],
      ['update_total_amount_remaining', 'double-long'],
      ['set_total_amount_remaining', 'double-long', 'double-long'],
    ],
  },
  {
    id: 115, versions: [0], name: 'Token gateway',
    attributes: [
      ['token', 'octet-string', 'dr'],
      ['token_time', 'octets-date-time', 'dr'],
      ['token_description', array('octet-string'), 'dr'],
      ['token_delivery_method', names(['remote', 'local', 'manual']), 'dr'],
      ['token_status', tokenStatus, 'dr'],
    ],
    methods: [['enter', 'octet-string', tokenStatus]],
  },
]
