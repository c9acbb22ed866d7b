/**
 * How a meter is reached: HDLC, TCP and UDP, IPv4, MAC address, mobile network (classes 23, 41 to
 * 43, 45, 47). What a client writes there is kept and shown, and moves no socket. [IEC 62056-6-2,
 * 4.7 and 4.9]
 */
import { Stream, drawBelow } from '../model/chance.ts'
import { classObject } from './class-object.ts'
import { encoded, type SimulatedObject } from './cosem-object.ts'
import { writeAttribute } from '../../../core/dlms/cosem/index.ts'
import { cosemDateTimeBytes, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'

const quality = { precedence: 0, delay: 0, reliability: 0, peak_throughput: 0, mean_throughput: 0 }
const cells = 4_096

export const communicationObjects: readonly SimulatedObject[] = [
  classObject({
    obis: '0-0:22.0.0.255',
    classId: 23,
    version: 1,
    attributes: {
      comm_speed: '9600',
      window_size_transmit: 1,
      window_size_receive: 1,
      max_info_field_length_transmit: 128,
      max_info_field_length_receive: 128,
      inter_octet_time_out: 25,
      inactivity_time_out: 120,
      device_address: 16,
    },
    writable: ['comm_speed', 'inter_octet_time_out', 'inactivity_time_out', 'device_address'],
  }),
  classObject({
    obis: '0-0:25.0.0.255',
    classId: 41,
    attributes: {
      TCP_UDP_port: 4059,
      IP_reference: '0-0:25.1.0.255',
      MSS: 1_280,
      nb_of_sim_conn: 64,
      inactivity_time_out: 0,
    },
    writable: ['TCP_UDP_port', 'inactivity_time_out'],
  }),
  classObject({
    obis: '0-0:25.1.0.255',
    classId: 42,
    attributes: {
      DL_reference: '0-0:25.2.0.255',
      // Of the block for examples. [RFC 2544]
      IP_address: (meter) =>
        encoded((w) => w.uint32(((198 << 24) | (18 << 16) | (meter.number & 0xffff)) >>> 0)),
      multicast_IP_address: [],
      IP_options: [],
      subnet_mask: '255.254.0.0',
      gateway_IP_address: '198.19.255.254',
      use_DHCP_flag: true,
      primary_DNS_address: '198.19.255.253',
      secondary_DNS_address: '0.0.0.0',
    },
    writable: [
      'subnet_mask',
      'gateway_IP_address',
      'use_DHCP_flag',
      'primary_DNS_address',
      'secondary_DNS_address',
    ],
  }),
  classObject({
    obis: '0-0:25.2.0.255',
    classId: 43,
    attributes: {
      // Administered locally.
      MAC_address: (meter) => {
        const octets = Buffer.of(0x02, 0xdb, 0, 0, 0, 0)
        octets.writeUInt32BE(meter.number + 1, 2)
        return encoded((w) => w.octetString(octets))
      },
    },
  }),
  classObject({
    obis: '0-0:25.4.0.255',
    classId: 45,
    attributes: {
      APN: 'meters.example',
      PIN_code: 0,
      quality_of_service: { default: quality, requested: quality },
    },
    writable: ['APN', 'PIN_code', 'quality_of_service'],
  }),
  classObject({
    obis: '0-0:25.6.0.255',
    classId: 47,
    attributes: {
      operator: 'Busbar Mobile',
      status: 'registered_home_network',
      circuit_switched_status: 'inactive',
      packet_switched_status: 'GPRS',
      cell_info: (meter, nowMs) =>
        writeAttribute({ classId: 47, version: 0 }, 'cell_info', {
          cell_ID: drawBelow(cells, meter.seed, Stream.HABIT, 7),
          location_ID: 1,
          // From −113 dBm in steps of 2.
          signal_quality:
            12 + drawBelow(10, meter.seed, Stream.VOLTAGE, Math.floor(nowMs / 60_000), 9),
          ber: 0,
        }),
      adjacent_cells: [],
      capture_time: (_meter, nowMs) => {
        const octets = Buffer.alloc(cosemDateTimeBytes)
        writeCosemDateTime(octets, 0, nowMs)
        return encoded((w) => w.octet(25).octets(octets))
      },
    },
  }),
]
