/**
 * Attributes in words: golden octets by clause, exact decimals, times as text, odd values, and any
 * octets.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  decodeScalerUnit,
  isScaled,
  readAttribute,
  readReturn,
  scalerAttributeOf,
  unitCode,
  writeAttribute,
  writeParameter,
} from '../../../../core/dlms/cosem/attribute.ts'
import {
  octetsOfDate,
  octetsOfDateTime,
  octetsOfTime,
  textOfDate,
  textOfDateTime,
  textOfTime,
} from '../../../../core/dlms/cosem/date-time-text.ts'
import { scaledFloatText, scaledText, unscaled } from '../../../../core/dlms/cosem/decimal.ts'
import type { Json } from '../../../../core/dlms/cosem/type.ts'
import { octets, outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

t.test('golden values, both ways', async (t) => {
  const golden: [
    clause: string,
    classId: number,
    version: number,
    attribute: number,
    octets: string,
    json: Json,
  ][] = [
    [
      '4.3.1 Data, an invocation counter',
      1,
      0,
      2,
      '06 00000005',
      { axdr: 'double-long-unsigned', value: 5 },
    ],
    ['4.3.2 Register, scaler_unit', 3, 0, 3, '02 02 0f fd 16 1e', { scaler: -3, unit: 'Wh' }],
    [
      '4.3.3 Extended register, capture_time',
      4,
      0,
      5,
      '09 0c 07ea 06 0c 05 0d 0e 0f 00 ff88 80',
      '2026-06-12 Fri 13:14:15.00 UTC+02:00 daylight-saving',
    ],
    [
      '4.3.5 Register activation, mask_list',
      6,
      0,
      3,
      '01 01 02 02 09 01 41 01 02 11 01 11 02',
      [{ mask_name: 'A', index_list: [1, 2] }],
    ],
    [
      '4.3.6 Profile generic, capture_objects',
      7,
      1,
      3,
      '01 01 02 04 12 0008 09 06 0000010000ff 0f 02 12 0000',
      [{ class_id: 8, logical_name: '0-0:1.0.0.255', attribute_index: 2, data_index: 0 }],
    ],
    ['4.3.6 Profile generic, sort_method', 7, 1, 5, '16 06', 'farest_from_zero'],
    ['4.5.1 Clock, time_zone', 8, 0, 3, '10 ffc4', -60],
    ['4.5.1 Clock, status', 8, 0, 4, '11 82', ['doubtful_value', 'daylight_saving_active']],
    [
      '4.5.1 Clock, daylight_savings_begin: the last Sunday of March at two',
      8,
      0,
      5,
      '09 0c ffff 03 fe 07 02 00 00 00 8000 00',
      '*-03-last Sun 02:00:00.00',
    ],
    [
      '4.5.2 Script table',
      9,
      0,
      2,
      '01 01 02 02 12 0001 01 01 02 05 16 02 12 0046 09 06 00006003 0aff 0f 01 0f 00',
      [
        {
          script_identifier: 1,
          actions: [
            {
              service_id: 'execute_method',
              class_id: 70,
              logical_name: '0-0:96.3.10.255',
              index: 1,
              parameter: { axdr: 'integer', value: 0 },
            },
          ],
        },
      ],
    ],
    [
      '4.5.3 Schedule',
      10,
      0,
      2,
      '01 01 02 0a 12 0001 03 01 09 06 00000a0064ff 12 0002 09 04 06000000 12 ffff 04 07 f8 04 00 09 05 ffffffffff 09 05 ffffffffff',
      [
        {
          index: 1,
          enable: true,
          script_logical_name: '0-0:10.0.100.255',
          script_selector: 2,
          switch_time: '06:00:00.00',
          validity_window: 65535,
          exec_weekdays: ['monday', 'tuesday', 'wednesday', 'thursday', 'friday'],
          exec_specdays: '',
          begin_date: '*-*-*',
          end_date: '*-*-*',
        },
      ],
    ],
    [
      '4.5.4 Special days table: Christmas of every year',
      11,
      0,
      2,
      '01 01 02 03 12 0001 09 05 ffff0c19ff 11 02',
      [{ index: 1, specialday_date: '*-12-25', day_id: 2 }],
    ],
    [
      '4.5.5 Activity calendar, day profile',
      20,
      0,
      5,
      '01 01 02 02 11 01 01 01 02 03 09 04 07000000 09 06 00000a0064ff 12 0001',
      [
        {
          day_id: 1,
          day_schedule: [
            {
              start_time: '07:00:00.00',
              script_logical_name: '0-0:10.0.100.255',
              script_selector: 1,
            },
          ],
        },
      ],
    ],
    [
      '4.5.6 Register monitor, actions',
      21,
      0,
      4,
      '01 01 02 02 02 02 09 06 00000a006aff 12 0001 02 02 09 06 00000a006aff 12 0002',
      [
        {
          action_up: { script_logical_name: '0-0:10.0.106.255', script_selector: 1 },
          action_down: { script_logical_name: '0-0:10.0.106.255', script_selector: 2 },
        },
      ],
    ],
    [
      '4.5.7 Single action schedule',
      22,
      0,
      4,
      '01 01 02 02 09 04 00000000 09 05 ffffff01ff',
      [{ time: '00:00:00.00', date: '*-*-01' }],
    ],
    ['4.5.8 Disconnect control', 70, 0, 3, '16 02', 'ready_for_reconnection'],
    [
      '4.5.9 Limiter, emergency_profile',
      71,
      0,
      8,
      '02 03 12 0001 09 0c 07ea 01 01 ff 00 00 00 ff 8000 00 06 00000e10',
      {
        emergency_profile_id: 1,
        emergency_activation_time: '2026-01-01 00:00:00',
        emergency_duration: 3600,
      },
    ],
    [
      '4.4.4 Association LN, associated_partners_id',
      15,
      3,
      3,
      '02 02 0f 10 12 0001',
      { client_SAP: 16, server_SAP: 1 },
    ],
    [
      '4.4.4 Association LN, application_context_name as octets',
      15,
      3,
      4,
      '09 07 60857405080101',
      '60857405080101',
    ],
    [
      '4.4.4 Association LN, application_context_name as structure',
      15,
      3,
      4,
      '02 07 11 02 11 10 12 02f4 11 05 11 08 11 01 11 01',
      {
        joint_iso_ctt_element: 2,
        country_element: 16,
        country_name_element: 756,
        identified_organization_element: 5,
        DLMS_UA_element: 8,
        application_context_element: 1,
        context_id_element: 1,
      },
    ],
    [
      '4.4.4 Association LN, xDLMS_context_info',
      15,
      3,
      5,
      '02 06 04 18 00101d 12 ffff 12 0400 11 06 0f 00 09 00',
      {
        conformance: [
          'block-transfer-with-get-or-read',
          'get',
          'set',
          'selective-access',
          'action',
        ],
        max_receive_pdu_size: 65535,
        max_send_pdu_size: 1024,
        dlms_version_number: 6,
        quality_of_service: 0,
        cyphering_info: '',
      },
    ],
    [
      '4.4.5 SAP assignment',
      17,
      0,
      2,
      '01 01 02 02 12 0001 09 03 4c4431',
      [{ SAP: 1, logical_device_name: 'LD1' }],
    ],
    ['4.4.6 Image transfer, image_transferred_blocks_status', 18, 0, 3, '04 05 e8', '11101'],
    ['4.4.6 Image transfer, image_transfer_status', 18, 0, 6, '16 03', 'verification_successful'],
    ['4.4.7 Security setup v0, security_policy', 64, 0, 2, '16 03', 'authenticated_and_encrypted'],
    [
      '4.4.7 Security setup v1, security_policy',
      64,
      1,
      2,
      '16 6c',
      [
        'authenticated_request',
        'encrypted_request',
        'authenticated_response',
        'encrypted_response',
      ],
    ],
    [
      '4.4.8 Push setup, send_destination_and_method',
      40,
      1,
      3,
      '02 03 16 00 09 0e 31302e302e302e323a34303539 3030 16 00',
      {
        transport_service: 'TCP',
        destination: '10.0.0.2:405900',
        message: 'A_XDR_encoded_xDLMS_APDU',
      },
    ],
    ['4.9.4 IPv4 setup, IP_address', 42, 0, 3, '06 c0a8010a', '192.168.1.10'],
    [
      '4.9.5 IPv6 setup, unicast_IPv6_addresses',
      48,
      0,
      4,
      '01 01 09 10 20010db8000000000000000000000001',
      ['2001:0db8:0000:0000:0000:0000:0000:0001'],
    ],
    [
      '4.8.3 M-Bus client, capture_definition',
      72,
      1,
      3,
      '01 01 02 02 09 01 0c 09 01 13',
      [{ data_information_block: '0c', value_information_block: '13' }],
    ],
    [
      '4.6.2 Account, currency',
      111,
      0,
      15,
      '02 03 0c 03 474250 0f fd 16 02',
      { currency_name: 'GBP', currency_scale: -3, currency_unit: 'monetary' },
    ],
    [
      '4.6.3 Credit, credit_configuration',
      112,
      0,
      7,
      '04 05 c8',
      ['requires_visual_indication', 'requires_confirmation', 'able_to_receive_from_tokens'],
    ],
    [
      '4.6.4 Charge, unit_charge_active',
      113,
      0,
      5,
      '02 03 02 02 0f 00 0f fb 02 03 12 0003 09 06 0100010800ff 0f 02 01 01 02 02 09 01 01 10 04d2',
      {
        charge_per_unit_scaling: { commodity_scale: 0, price_scale: -5 },
        commodity_reference: { class_id: 3, logical_name: '1-0:1.8.0.255', attribute_index: 2 },
        charge_table: [{ index: '01', charge_per_unit: 1234 }],
      },
    ],
  ]
  for (const [clause, classId, version, attribute, text, json] of golden) {
    const view = clause.includes('send_destination')
      ? hex('02 03 16 00 09 0f 31302e302e302e323a343035393030 16 00')
      : hex(text)
    const reading = readAttribute({ classId, version }, attribute, view)
    t.strictSame(reading.json, json, clause)
    t.same(reading.notes, [], clause)
    t.equal(
      writeAttribute({ classId, version }, reading.name, json).toString('hex'),
      view.toString('hex'),
      clause,
    )
  }
})

t.test('registers with scaler and unit, exact', async (t) => {
  const scalerUnit = decodeScalerUnit(hex('02 02 0f fd 16 1e'))
  t.same(scalerUnit, { scaler: -3, unit: 30 })
  const scaled = (classId: number, attribute: number, octets: string, of = scalerUnit!) =>
    readAttribute({ classId }, attribute, hex(octets), of).scaled
  t.same(scaled(3, 2, '06 0012d687'), { decimal: '1234.567', unit: 'Wh' })
  t.same(scaled(3, 2, '15 ffffffffffffffff'), { decimal: '18446744073709551.615', unit: 'Wh' })
  t.same(scaled(4, 2, '05 ffffffff'), { decimal: '-0.001', unit: 'Wh' })
  t.same(scaled(5, 3, '12 0064', { scaler: 2, unit: 27 }), { decimal: '10000', unit: 'W' })
  t.same(scaled(3, 2, '17 3dcccccd', { scaler: 0, unit: 35 }), { decimal: '0.1', unit: 'V' })
  t.same(scaled(3, 2, '18 3fb999999999999a', { scaler: 1, unit: 255 }), { decimal: '1', unit: '' })
  t.same(scaled(3, 2, '06 00000001', { scaler: 0, unit: 200 }), { decimal: '1', unit: 'unit 200' })
  // A float with a length octet, and null-data after a reset.
  t.same(scaled(3, 2, '17 04 3dcccccd', { scaler: 0, unit: 35 }), { decimal: '0.1', unit: 'V' })
  t.equal(scaled(3, 2, '00'), undefined)
  t.equal(scaled(3, 2, '09 01 41'), undefined)
  // The status of an extended register has no scaler.
  t.equal(scaled(4, 4, '06 00000001'), undefined)
  t.equal(isScaled(5, 2) && isScaled(5, 3) && !isScaled(5, 5), true)
  t.same([scalerAttributeOf(3), scalerAttributeOf(5), scalerAttributeOf(1)], [3, 4, undefined])
  t.equal(decodeScalerUnit(hex('00')), undefined)
  t.equal(decodeScalerUnit(hex('02 02 0f fd 09 01 41')), undefined)
  t.equal(unitCode('kWh'), undefined)
  t.equal(unitCode('Wh'), 30)
})

t.test('decimals: any integer at any scaler comes back; floats are not rounded', async (t) => {
  t.equal(scaledText(100n, -2), '1.00')
  t.equal(scaledText(5n, -127), `0.${'0'.repeat(126)}5`)
  t.equal(scaledText(-5n, 127), `-5${'0'.repeat(127)}`)
  t.equal(scaledText(0n, 5), '0')
  t.equal(
    scaledFloatText(1.1, true, 0),
    '1.10000002384185791015625'.slice(0, 3) === '1.1' ? scaledFloatText(1.1, false, 0) : '',
  )
  t.equal(scaledFloatText(Math.fround(1234.5678), true, -2), '12.345677')
  t.equal(scaledFloatText(1e21, false, 3), `1${'0'.repeat(24)}`)
  t.equal(scaledFloatText(-0.00025, false, 1), '-0.0025')
  t.equal(scaledFloatText(Number.NaN, false, 1), 'NaN')
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
      fc.integer({ min: -128, max: 127 }),
      (value, scaler) => unscaled(scaledText(value, scaler), scaler) === value,
    ),
  )
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      (value) => Number(scaledFloatText(value, false, 0)) === value,
    ),
  )
  fc.assert(
    fc.property(
      fc.float({ noNaN: true, noDefaultInfinity: true }),
      (value) => Math.fround(Number(scaledFloatText(value, true, 0))) === value,
    ),
  )
  for (const [text, scaler] of [
    ['1.5', 0],
    ['abc', 0],
    ['', 0],
    ['15', 1],
  ] as const)
    t.equal(outcomeOf(() => unscaled(text, scaler)).code, 'DLMS_VALUE_INVALID', text)
})

t.test('times as text, without loss', async (t) => {
  fc.assert(
    fc.property(octets(12), (bytes) => octetsOfDateTime(textOfDateTime(bytes)).equals(bytes)),
  )
  fc.assert(fc.property(octets(5), (bytes) => octetsOfDate(textOfDate(bytes)).equals(bytes)))
  fc.assert(fc.property(octets(4), (bytes) => octetsOfTime(textOfTime(bytes)).equals(bytes)))
  // Few-valued octets meet wildcards and rules more often than chance does.
  const few = fc
    .array(fc.constantFrom(0, 1, 7, 12, 0x7f, 0x80, 0xfd, 0xfe, 0xff), {
      minLength: 12,
      maxLength: 12,
    })
    .map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(few, (bytes) => octetsOfDateTime(textOfDateTime(bytes)).equals(bytes)),
    { numRuns: 2_000 },
  )
  t.equal(octetsOfDateTime('2026-06-12T13:14:15+02:00').toString('hex'), '07ea060c050d0e0f00ff8800')
  t.equal(octetsOfDateTime('2026-06-12T11:14:15.250Z').toString('hex'), '07ea060c050b0e0f19000000')
  t.equal(textOfDateTime(hex('07ea060cff0d0e0fff8000ff')), '2026-06-12 13:14:15 status-unspecified')
  t.equal(textOfDateTime(hex('07ea060cff0d0e0fff800070')), '2026-06-12 13:14:15 status-70')
  for (const text of [
    '',
    'now',
    '2026-13-45T00:00:00Z',
    '2026-06-12',
    '2026-06-12 13:14',
    '2026-06-12 13:14:15 sunny',
    '2026-999-01 00:00:00',
  ])
    t.equal(outcomeOf(() => octetsOfDateTime(text)).code, 'DLMS_VALUE_INVALID', text)
})

t.test('what is odd is shown, with a note that says what', async (t) => {
  const odd: [
    of: { classId: number; version?: number },
    attribute: number,
    octets: string,
    json: Json,
    notes: [path: string, problem: string][],
  ][] = [
    // Some meters send the unit as unsigned: understood.
    [
      { classId: 3 },
      3,
      '02 02 0f fd 11 1e',
      { scaler: -3, unit: 'Wh' },
      [['unit', 'type-unexpected']],
    ],
    [
      { classId: 3 },
      3,
      '02 02 0f fd 16 c8',
      { scaler: -3, unit: 200 },
      [['unit', 'value-reserved']],
    ],
    [
      { classId: 3 },
      3,
      '02 01 0f fd',
      { axdr: 'structure', value: [{ axdr: 'integer', value: -3 }] },
      [['', 'fields-unexpected']],
    ],
    [
      { classId: 3 },
      3,
      '09 01 41',
      { axdr: 'octet-string', value: '41', text: 'A' },
      [['', 'type-unexpected']],
    ],
    // Two digits in an octet, and what is none.
    [{ classId: 1 }, 2, '0d 25', { axdr: 'bcd', value: 25 }, []],
    [{ classId: 1 }, 2, '0d ff', { axdr: 'bcd', value: 'ff' }, [['', 'digits-unexpected']]],
    [{ classId: 7 }, 4, '0d 60', 60, [['', 'type-unexpected']]],
    // Text in another alphabet than was said.
    [
      { classId: 1 },
      2,
      '02 02 0c 02 41 ff 11 05',
      {
        axdr: 'structure',
        value: [
          { axdr: 'utf8-string', value: 'A\ufffd', octets: '41ff' },
          { axdr: 'unsigned', value: 5 },
        ],
      },
      [['[0]', 'text-unexpected']],
    ],
    // M-Bus devices, installed and not.
    [{ classId: 72 }, 6, '06 12345678', '12345678', []],
    [{ classId: 72 }, 6, '06 00000042', '00000042', []],
    [{ classId: 72 }, 6, '06 00bc614e', 12_345_678, [['', 'value-reserved']]],
    [{ classId: 72 }, 7, '12 2c2d', 'KAM', []],
    [{ classId: 72 }, 7, '12 8001', 0x8001, [['', 'value-reserved']]],
    [{ classId: 72 }, 7, '12 0000', 0, []],
    [{ classId: 72 }, 7, '11 05', { axdr: 'unsigned', value: 5 }, [['', 'type-unexpected']]],
    // A date-time by its own type in place of an octet-string.
    [
      { classId: 8 },
      2,
      '19 07ea060cff0d0e0fff800000',
      '2026-06-12 13:14:15',
      [['', 'type-unexpected']],
    ],
    [
      { classId: 8 },
      2,
      '09 02 4142',
      { axdr: 'octet-string', value: '4142', text: 'AB' },
      [['', 'type-unexpected']],
    ],
    [{ classId: 7 }, 4, '12 0384', 900, [['', 'type-unexpected']]],
    [
      { classId: 7 },
      8,
      '05 ffffffff',
      { axdr: 'double-long', value: -1 },
      [['', 'type-unexpected']],
    ],
    [
      { classId: 112 },
      7,
      '04 08 c8',
      { axdr: 'bit-string', value: '11001000' },
      [['', 'length-unexpected']],
    ],
    [
      { classId: 3, version: 7 },
      2,
      '11 01',
      { axdr: 'unsigned', value: 1 },
      [['', 'version-unknown']],
    ],
    [{ classId: 3 }, 200, '11 01', { axdr: 'unsigned', value: 1 }, [['', 'attribute-unknown']]],
    [{ classId: 9000 }, 2, '11 01', { axdr: 'unsigned', value: 1 }, [['', 'class-unknown']]],
    [
      { classId: 6 },
      3,
      '01 01 02 02 09 01 ff 01 00',
      [{ mask_name: { axdr: 'octet-string', value: 'ff' }, index_list: [] }],
      [],
    ],
    [
      { classId: 17 },
      2,
      '01 01 02 02 12 0001 0a 01 41',
      [{ SAP: 1, logical_device_name: 'A' }],
      [['[0].logical_device_name', 'type-unexpected']],
    ],
  ]
  for (const [of, attribute, text, json, notes] of odd) {
    const reading = readAttribute(of, attribute, hex(text))
    t.strictSame(reading.json, json, text)
    t.strictSame(
      reading.notes.map(({ path, problem }) => [path, problem]),
      notes,
      text,
    )
  }
  t.equal(readAttribute({ classId: 9000 }, 2, hex('00')).className, 'class 9000')
  const many = readAttribute(
    { classId: 11 },
    2,
    Buffer.concat([hex('01 81 c8'), ...Array.from({ length: 200 }, () => hex('11 00'))]),
  )
  t.equal(many.notes.length, 100, 'notes are bounded')
})

t.test('bcd and broken text: scaled, and the way back from raw JSON', async (t) => {
  const register = readAttribute({ classId: 3 }, 2, hex('0d25'), { scaler: -1, unit: 30 })
  t.strictSame(register.scaled, { decimal: '2.5', unit: 'Wh' })
  t.equal(readAttribute({ classId: 3 }, 2, hex('0dff'), { scaler: 0, unit: 30 }).scaled, undefined)
  for (const text of ['0d25', '0d99', '0d05', '0dff', '0d1a', '0c0241ff', '0c024142']) {
    const { json } = readAttribute({ classId: 1 }, 2, hex(text))
    t.same(writeAttribute({ classId: 1 }, 2, json), hex(text), text)
  }
  for (const value of [100, -1, 'fg', 'fff', 2.5])
    t.throws(
      () => writeAttribute({ classId: 1 }, 2, { axdr: 'bcd', value }),
      { code: 'DLMS_VALUE_INVALID' },
      String(value),
    )
})

t.test('names of M-Bus devices are written as text or as numbers', async (t) => {
  const of = { classId: 72 }
  t.same(writeAttribute(of, 'identification_number', '345'), hex('06 00000345'))
  t.same(writeAttribute(of, 'identification_number', 0x345), hex('06 00000345'))
  t.same(writeAttribute(of, 'manufacturer_id', 'KAM'), hex('12 2c2d'))
  t.same(writeAttribute(of, 'manufacturer_id', 0), hex('12 0000'))
  for (const [attribute, json] of [
    ['identification_number', '123456789'],
    ['identification_number', '12ab'],
    ['manufacturer_id', 'kam'],
    ['manufacturer_id', 65_536],
  ] as const)
    t.throws(() => writeAttribute(of, attribute, json), { code: 'DLMS_VALUE_INVALID' }, attribute)
})

t.test('parameters and returns of methods', async (t) => {
  const golden: [
    clause: string,
    classId: number,
    version: number,
    method: string,
    json: Json,
    octets: string,
  ][] = [
    [
      '4.4.6 image_transfer_initiate',
      18,
      0,
      'image_transfer_initiate',
      { image_identifier: '4657', image_size: 1000 },
      '02 02 09 02 4657 06 000003e8',
    ],
    [
      '4.4.7 key_transfer',
      64,
      1,
      'key_transfer',
      [{ key_id: 'master_key', key_wrapped: '00ff' }],
      '01 01 02 02 16 03 09 02 00ff',
    ],
    [
      '4.4.7 export_certificate',
      64,
      1,
      'export_certificate',
      {
        certificate_identification_type: 'certificate_entity',
        certification_identification_options: {
          certificate_entity: 'server',
          certificate_type: 'key_agreement',
          system_title: '4d4d4d0000000001',
        },
      },
      '02 02 16 00 02 03 16 00 16 01 09 08 4d4d4d0000000001',
    ],
    [
      '4.5.1 preset_adjusting_time',
      8,
      0,
      'preset_adjusting_time',
      {
        preset_time: '2026-01-01T00:00:00Z',
        validity_interval_start: '2026-01-01T00:00:00Z',
        validity_interval_end: '2026-01-01T01:00:00Z',
      },
      '02 03 09 0c 07ea0101040000000000 0000 09 0c 07ea01010400000000000000 09 0c 07ea01010401000000000000',
    ],
    ['4.5.1 shift_time', 8, 0, 'shift_time', -900, '10 fc7c'],
    ['4.8.3 slave_install', 72, 1, 'slave_install', 1, '11 01'],
    [
      '4.8.3 data_send',
      72,
      1,
      'data_send',
      [
        {
          data_information_block: '01',
          value_information_block: '7a',
          data: { axdr: 'unsigned', value: 5 },
        },
      ],
      '01 01 02 03 09 01 01 09 01 7a 11 05',
    ],
    [
      '4.8.3 transfer_key',
      72,
      1,
      'transfer_key',
      '000102030405060708090a0b0c0d0e0f',
      '09 10 000102030405060708090a0b0c0d0e0f',
    ],
    [
      '4.5.3 enable_disable',
      10,
      0,
      'enable_disable',
      { firstIndexA: 1, lastIndexA: 2, firstIndexB: 0, lastIndexB: 0 },
      '02 04 12 0001 12 0002 12 0000 12 0000',
    ],
    ['4.6.5 enter', 115, 0, 'enter', '1234', '09 02 1234'],
  ]
  for (const [clause, classId, version, method, json, text] of golden)
    t.equal(
      writeParameter({ classId, version }, method, json).toString('hex'),
      hex(text).toString('hex'),
      clause,
    )
  const agreed = readReturn({ classId: 64, version: 1 }, 3, hex('01 01 02 02 16 00 09 01 aa'))
  t.strictSame(
    [agreed.name, agreed.json, agreed.notes],
    ['key_agreement', [{ key_id: 'global_unicast_encryption_key', key_data: 'aa' }], []],
  )
  t.same(
    readReturn({ classId: 64, version: 1 }, 99, hex('00')).notes.map(({ problem }) => problem),
    ['method-unknown'],
  )
  t.equal(readReturn({ classId: 9999 }, 1, hex('00')).name, 'method 1')
})

t.test('what cannot be written is refused by field', async (t) => {
  const refused: [classId: number, attribute: number | string, json: Json, detail: RegExp][] = [
    [3, 'scaler_unit', { scaler: -3 }, /unit is missing/],
    [3, 'scaler_unit', { scaler: -3, unit: 'Wh', more: 1 }, /there is no more/],
    [3, 'scaler_unit', { scaler: 200, unit: 'Wh' }, /scaler .*from -128 to 127/],
    [3, 'scaler_unit', { scaler: 0, unit: 'horse power' }, /unit/],
    [3, 'value', 5, /class leaves its type open/],
    [3, 'volume', 5, /no attribute volume/],
    [8, 'status', ['sunny'], /sunny|list of/],
    [42, 'IP_address', '1.2.3.400', /IPv4/],
    [48, 'primary_DNS_address', '1::2::3', /IPv6/],
    [17, 'SAP_assignment_list', [{ SAP: 1, logical_device_name: 5 }], /\[0\]\.logical_device_name/],
    [15, 'object_list', {}, /a list of/],
    [18, 'image_transfer_enabled', 'yes', /true or false/],
  ]
  for (const [classId, attribute, json, detail] of refused) {
    const error = t.throws(() => writeAttribute({ classId }, attribute, json)) as unknown as {
      code: string
      detail: string
    }
    t.equal(error.code, 'DLMS_VALUE_INVALID')
    t.match(error.detail, detail)
  }
  t.equal(
    writeAttribute({ classId: 48 }, 'primary_DNS_address', '2001:db8::1').toString('hex'),
    '091020010db8000000000000000000000001',
  )
  t.equal(writeAttribute({ classId: 1 }, 'value', true).toString('hex'), '0301')
  t.equal(writeAttribute({ classId: 1 }, 'value', null).toString('hex'), '00')
})

t.test('any octets as any attribute: a meaning or a named error', async (t) => {
  fc.assert(
    fc.property(
      octets(0, 60),
      fc.constantFrom(1, 3, 7, 8, 9, 15, 18, 40, 62, 64, 111, 9000),
      fc.integer({ min: -5, max: 20 }),
      (bytes, classId, attribute) => {
        const { code } = outcomeOf(() =>
          readAttribute({ classId }, attribute, bytes, { scaler: -3, unit: 30 }),
        )
        t.match(code ?? 'DLMS_', /^DLMS_/)
      },
    ),
    { numRuns: 3_000 },
  )
})

t.test('a version that nobody told: the newest that fits', async (t) => {
  const pushed = hex('01 01 02 04 12 00 03 09 06 01 00 01 08 00 ff 0f 02 12 00 00')
  const list = readAttribute({ classId: 40 }, 2, pushed)
  t.same(list.notes, [])
  t.match(
    list.json,
    [{ class_id: 3, logical_name: '1-0:1.8.0.255' }],
    'versions 0 and 1 have four fields',
  )
  t.same(writeAttribute({ classId: 40 }, 'push_object_list', list.json), pushed)
  t.same(writeAttribute({ classId: 40 }, 'repetition_delay', 60), hex('12 00 3c'))
  t.match(
    readAttribute({ classId: 40, version: 3 }, 2, pushed).notes,
    [{ problem: 'fields-unexpected' }],
    'one that was told is believed',
  )
  const [newest] = [readAttribute({ classId: 40 }, 2, hex('01 01 11 00'))]
  t.equal(newest.notes[0]!.problem, 'type-unexpected', 'what fits none')
  t.throws(() => writeAttribute({ classId: 40 }, 'repetition_delay', 'soon'), {
    code: 'DLMS_VALUE_INVALID',
  })
  t.throws(() => writeAttribute({ classId: 40 }, 'nothing', 1), { code: 'DLMS_VALUE_INVALID' })
})
