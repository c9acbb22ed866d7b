/**
 * Interface classes that set up ways of communication: HDLC, the internet family, modems, M-Bus.
 * [IEC 62056-6-2, 4.7 to 4.9]
 */
import type { AttributeTuple, ClassRow, MethodTuple } from '../class-row.ts'
import type { CosemType } from '../type.ts'
import { array, names, structure, zero } from './parts.ts'

const speeds = names(['300', '600', '1200', '2400', '4800', '9600', '19200', '38400', '57600', '115200'])

const hdlc = (length: CosemType): AttributeTuple[] => [
  ['comm_speed', speeds, 'sw'],
  ['window_size_transmit', 'unsigned', 'sw'],
  ['window_size_receive', 'unsigned', 'sw'],
  ['max_info_field_length_transmit', length, 'sw'],
  ['max_info_field_length_receive', length, 'sw'],
  ['inter_octet_time_out', 'long-unsigned', 'sw'],
  ['inactivity_time_out', 'long-unsigned', 'sw'],
  ['device_address', 'long-unsigned', 'sw'],
]

const serviceQuality = structure({ precedence: 'unsigned', delay: 'unsigned', reliability: 'unsigned', peak_throughput: 'unsigned', mean_throughput: 'unsigned' })

const gsm = (packetStates: string[], statuses: string[], cell: CosemType, neighbour: CosemType): AttributeTuple[] => [
  ['operator', 'visible-string', 'dr'],
  ['status', names(statuses), 'dr'],
  ['circuit_switched_status', names(['inactive', 'incoming_call', 'active']), 'dr'],
  ['packet_switched_status', names(packetStates), 'dr'],
  ['cell_info', cell, 'dr'],
  ['adjacent_cells', array(structure({ cell_ID: neighbour, signal_quality: 'unsigned' })), 'dr'],
  ['capture_time', 'date-time', 'dr'],
]
const packetStates = ['inactive', 'GPRS', 'EDGE', 'UMTS', 'HSDPA']
const registrations = ['not_registered', 'registered_home_network', 'searching', 'registration_denied', 'unknown', 'registered_roaming']
const cell1 = structure({
  cell_ID: 'double-long-unsigned', location_ID: 'long-unsigned', signal_quality: 'unsigned', ber: 'unsigned',
  mcc: 'long-unsigned', mnc: 'long-unsigned', channel_number: 'double-long-unsigned',
})

const valueBlocks = { data_information_block: 'octet-string', value_information_block: 'octet-string' } as const
const mbusClient: AttributeTuple[] = [
  ['mbus_port_reference', 'obis', 'sw'],
  ['capture_definition', array(structure(valueBlocks)), 'sw'],
  ['capture_period', 'double-long-unsigned', 'sw'],
  ['primary_address', 'unsigned', 'dw'],
  ['identification_number', 'mbus-number', 'dr'],
  ['manufacturer_id', 'mbus-maker', 'dr'],
  ['version', 'unsigned', 'dr'],
  ['device_type', 'unsigned', 'dr'],
  ['access_number', 'unsigned', 'dr'],
  ['status', 'unsigned', 'dr'],
  ['alarm', 'unsigned', 'dr'],
]
const mbusMethods: MethodTuple[] = [
  ['slave_install', 'unsigned'],
  ['slave_deinstall', zero],
  ['capture', zero],
  ['reset_alarm', zero],
  ['synchronize_clock', zero],
  ['data_send', array(structure({ ...valueBlocks, data: 'any' }))],
  ['set_encryption_key', 'octet-string'],
  ['transfer_key', 'octet-string'],
]

export const communicationClasses: readonly ClassRow[] = [
  { id: 23, versions: [0], name: 'IEC HDLC setup', attributes: hdlc('unsigned') },
  { id: 23, versions: [1], name: 'IEC HDLC setup', attributes: hdlc('long-unsigned') },
  {
    id: 41, versions: [0], name: 'TCP-UDP setup',
    attributes: [
      ['TCP_UDP_port', 'long-unsigned', 'sw'],
      ['IP_reference', 'obis', 'sr'],
      ['MSS', 'long-unsigned', 'sw'],
      ['nb_of_sim_conn', 'unsigned', 'sw'],
      ['inactivity_time_out', 'long-unsigned', 'sw'],
    ],
  },
  {
    id: 42, versions: [0], name: 'IPv4 setup',
    attributes: [
      ['DL_reference', 'obis', 'sr'],
      ['IP_address', 'ip4', 'dw'],
      ['multicast_IP_address', array('ip4'), 'sw'],
      ['IP_options', array(structure({ IP_Option_Type: 'unsigned', IP_Option_Length: 'unsigned', IP_Option_Data: 'octet-string' })), 'sw'],
      ['subnet_mask', 'ip4', 'sw'],
      ['gateway_IP_address', 'ip4', 'sw'],
      ['use_DHCP_flag', 'boolean', 'sw'],
      ['primary_DNS_address', 'ip4', 'sw'],
      ['secondary_DNS_address', 'ip4', 'sw'],
    ],
    methods: [['add_mc_IP_address', 'ip4'], ['delete_mc_IP_address', 'ip4'], ['get_nbof_mc_IP_addresses', zero, 'long-unsigned']],
    methodsAt: 0x60,
  },
  { id: 43, versions: [0], name: 'MAC address setup', attributes: [['MAC_address', 'octet-string', 'sw']] },
  {
    id: 44, versions: [0], name: 'PPP setup',
    attributes: [
      ['PHY_reference', 'obis', 'sr'],
      ['LCP_options', array(structure({ LCP_option_type: 'unsigned', LCP_option_length: 'unsigned', LCP_option_data: 'any' })), 'sw'],
      ['IPCP_options', array(structure({ IPCP_option_type: 'unsigned', IPCP_option_length: 'unsigned', IPCP_option_data: 'any' })), 'sw'],
      // Nothing, user name and password, or what the algorithm of CHAP or EAP needs.
      ['PPP_authentication', 'any', 'sw'],
    ],
  },
  {
    id: 45, versions: [0], name: 'GPRS modem setup',
    attributes: [
      ['APN', 'octets-text', 'sw'],
      ['PIN_code', 'long-unsigned', 'sw'],
      ['quality_of_service', structure({ default: serviceQuality, requested: serviceQuality }), 'sw'],
    ],
  },
  {
    id: 46, versions: [0], name: 'SMTP setup',
    attributes: [
      ['server_port', 'long-unsigned', 'sw'],
      ['user_name', 'octets-text', 'sw'],
      ['login_password', 'octets-text', 'sw'],
      ['server_address', 'octets-text', 'sw'],
      ['sender_address', 'octets-text', 'sw'],
    ],
  },
  {
    id: 47, versions: [0], name: 'GSM diagnostic',
    attributes: gsm(
      packetStates, registrations,
      structure({ cell_ID: 'long-unsigned', location_ID: 'long-unsigned', signal_quality: 'unsigned', ber: 'unsigned' }), 'long-unsigned',
    ),
  },
  { id: 47, versions: [1], name: 'GSM diagnostic', attributes: gsm([...packetStates, 'LTE', 'CDMA'], registrations, cell1, 'double-long-unsigned') },
  {
    id: 47, versions: [2], name: 'GSM diagnostic',
    attributes: gsm([...packetStates, 'LTE', 'CDMA', 'LTE_Cat_M1', 'LTE_Cat_NB1'], registrations, cell1, 'double-long-unsigned'),
  },
  {
    id: 48, versions: [0], name: 'IPv6 setup',
    attributes: [
      ['DL_reference', 'obis', 'sr'],
      ['address_config_mode', names(['auto_configuration', 'DHCPv6', 'manual', 'neighbour_discovery']), 'sw'],
      ['unicast_IPv6_addresses', array('ip6'), 'sw'],
      ['multicast_IPv6_addresses', array('ip6'), 'sw'],
      ['gateway_IPv6_addresses', array('ip6'), 'sw'],
      ['primary_DNS_address', 'ip6', 'sw'],
      ['secondary_DNS_address', 'ip6', 'sw'],
      ['traffic_class', 'unsigned', 'sw'],
      ['neighbor_discovery_setup', array(structure({ RS_max_retry: 'unsigned', RS_retry_wait_time: 'long-unsigned', RA_send_period: 'double-long-unsigned' })), 'sw'],
    ],
    methods: [
      ['add_IPv6_address', structure({ IPv6_address_type: names(['unicast', 'multicast', 'gateway']), IPv6_address: 'ip6' })],
      ['remove_IPv6_address', structure({ IPv6_address_type: names(['unicast', 'multicast', 'gateway']), IPv6_address: 'ip6' })],
    ],
    methodsAt: 0x60,
  },
  { id: 72, versions: [0], name: 'M-Bus client', attributes: mbusClient, methods: mbusMethods },
  {
    id: 72, versions: [1], name: 'M-Bus client',
    attributes: [
      ...mbusClient,
      ['configuration', 'long-unsigned', 'dr'],
      ['encryption_key_status', names(['no_encryption_key', 'encryption_key_set', 'encryption_key_transferred', 'encryption_key_set_and_transferred', 'encryption_key_in_use']), 'dr'],
    ],
    methods: mbusMethods,
  },
]
