/**
 * APDUs as values: golden octets of our own, and what must hold for any APDU and for any octets.
 */
import fc from 'fast-check'
import t from 'tap'
import { decodeApdu, encodeApdu, type Apdu } from '../../../../core/dlms/apdu/codec.ts'
import {
  explain,
  explainData,
  explanationLines,
  type ExplainedField,
} from '../../../../core/dlms/explain.ts'
import { wrapInPlace } from '../../../../core/dlms/framing/wrapper.ts'
import { apdus, apduTypeCount } from '../../../support/apdu-values.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const none = Buffer.alloc(0)

/** Octets laid out by hand from the grammar of the clause named, and the APDU that they are. */
const golden: [clause: string, octets: string, apdu: Apdu][] = [
  // IEC 62056-5-3, ASN.1 module, ReadRequest and Variable-Access-Specification; base name FA00 is
  // the association's (5-3, clause 9).
  [
    'ReadRequest: object-list of the current association',
    '05 01 02 fa08',
    { type: 'read-request', specifications: [{ type: 'variable-name', variableName: 0xfa08 }] },
  ],
  [
    'ReadRequest: two names, one with selective access by entry',
    '05 02 02 0100 04 2108 02 0204 0600000001 0600000002 120001 120000',
    {
      type: 'read-request',
      specifications: [
        { type: 'variable-name', variableName: 0x0100 },
        {
          type: 'parameterized-access',
          variableName: 0x2108,
          selector: 2,
          parameterView: hex('0204 0600000001 0600000002 120001 120000'),
        },
      ],
    },
  ],
  [
    'ReadRequest: the block after block 2',
    '05 01 05 0002',
    { type: 'read-request', specifications: [{ type: 'block-number-access', blockNumber: 2 }] },
  ],
  [
    'ReadRequest: the request itself in blocks',
    '05 01 06 00 0001 03 0502fa',
    {
      type: 'read-request',
      specifications: [
        {
          type: 'read-data-block-access',
          lastBlock: false,
          blockNumber: 1,
          rawDataView: hex('0502fa'),
        },
      ],
    },
  ],
  [
    'ReadResponse: data, an error, a block, a block number',
    '0c 04 00 0600000010 01 03 02 01 0002 02 aabb 03 0001',
    {
      type: 'read-response',
      results: [
        { type: 'data', valueView: hex('0600000010') },
        { type: 'data-access-error', result: 3 },
        { type: 'data-block-result', lastBlock: true, blockNumber: 2, rawDataView: hex('aabb') },
        { type: 'block-number', blockNumber: 1 },
      ],
    },
  ],
  [
    'WriteRequest: a clock',
    '06 01 02 2bc0 01 090c 07ea060c050d0e0f00800000',
    {
      type: 'write-request',
      specifications: [{ type: 'variable-name', variableName: 0x2bc0 }],
      dataViews: [hex('090c 07ea060c050d0e0f00800000')],
    },
  ],
  [
    'WriteRequest: a block of it',
    '06 01 07 01 0002 01 09 02 aabb',
    {
      type: 'write-request',
      specifications: [{ type: 'write-data-block-access', lastBlock: true, blockNumber: 2 }],
      dataViews: [hex('0902aabb')],
    },
  ],
  [
    'WriteResponse: success, an error, a block number',
    '0d 03 00 01 0c 02 0001',
    {
      type: 'write-response',
      results: [
        { type: 'success' },
        { type: 'data-access-error', result: 12 },
        { type: 'block-number', blockNumber: 1 },
      ],
    },
  ],
  [
    'UnconfirmedWriteRequest',
    '16 01 02 2bc0 01 0f00',
    {
      type: 'unconfirmed-write-request',
      specifications: [{ type: 'variable-name', variableName: 0x2bc0 }],
      dataViews: [hex('0f00')],
    },
  ],
  [
    'InformationReportRequest, with time as VisibleString and without',
    '18 01 0f 32303236303631323133313431355a 01 02 0100 01 1105',
    {
      type: 'information-report-request',
      currentTimeView: Buffer.from('20260612131415Z'),
      specifications: [{ type: 'variable-name', variableName: 0x0100 }],
      dataViews: [hex('1105')],
    },
  ],
  [
    'InformationReportRequest without time',
    '18 00 01 02 0100 01 1105',
    {
      type: 'information-report-request',
      currentTimeView: undefined,
      specifications: [{ type: 'variable-name', variableName: 0x0100 }],
      dataViews: [hex('1105')],
    },
  ],
  // Access-Request and Access-Response, every specification.
  [
    'Access-Request',
    'd9 c0000001 00 05 01 000801000100 00ff02 02 000801000100 00ff03 03 00460000 60030aff01 ' +
      '04 00070100630100ff02 02 0204 0600000001 0600000001 120001 120000 05 00070100630100ff02 01 00' +
      ' 05 00 1100 0f00 00 00',
    {
      type: 'access-request',
      longInvokeIdAndPriority: 0xc000_0001,
      dateTimeView: none,
      specifications: [
        { type: 'access-request-get', descriptorView: hex('00080100010000ff02') },
        { type: 'access-request-set', descriptorView: hex('00080100010000ff03') },
        { type: 'access-request-action', descriptorView: hex('0046000060030aff01') },
        {
          type: 'access-request-get-with-selection',
          descriptorView: hex('00070100630100ff02'),
          selectionView: hex('02 0204 0600000001 0600000001 120001 120000'),
        },
        {
          type: 'access-request-set-with-selection',
          descriptorView: hex('00070100630100ff02'),
          selectionView: hex('0100'),
        },
      ],
      dataViews: [hex('00'), hex('1100'), hex('0f00'), hex('00'), hex('00')],
    },
  ],
  [
    'Access-Response, with the specification given back',
    'da 40000002 0c 07ea060c050d0e0f00800000 01 01 01 000801000100 00ff02 01 1105 01 01 00',
    {
      type: 'access-response',
      longInvokeIdAndPriority: 0x4000_0002,
      dateTimeView: hex('07ea060c050d0e0f00800000'),
      specifications: [{ type: 'access-request-get', descriptorView: hex('00080100010000ff02') }],
      dataViews: [hex('1105')],
      results: [{ type: 'access-response-get', result: 0 }],
    },
  ],
  // General-Block-Transfer: block-control is last-block, streaming, window of 6 bits.
  [
    'General-Block-Transfer: last block, window 63',
    'e0 ff 0102 0101 03 c40101',
    {
      type: 'general-block-transfer',
      blockControl: 0xff,
      blockNumber: 0x0102,
      blockNumberAck: 0x0101,
      blockDataView: hex('c40101'),
    },
  ],
  [
    'General-Block-Transfer: acknowledges, nothing more',
    'e0 81 0001 0003 00',
    {
      type: 'general-block-transfer',
      blockControl: 0x81,
      blockNumber: 1,
      blockNumberAck: 3,
      blockDataView: none,
    },
  ],
  [
    'Data-Notification-Confirm',
    '10 40000007 00',
    { type: 'data-notification-confirm', longInvokeIdAndPriority: 0x4000_0007, dateTimeView: none },
  ],
  [
    'Exception-Response: the counter that is expected',
    'd8 01 06 000003eb',
    {
      type: 'exception-response',
      stateError: 1,
      serviceError: { error: 6, invocationCounter: 1003 },
    },
  ],
  [
    'Action-Response-With-List: data, an error, nothing',
    'c7 03 c1 03 00 01 00 0f01 00 01 01 04 03 00',
    {
      type: 'action-response-with-list',
      invokeIdAndPriority: 0xc1,
      responses: [
        { result: 0, returned: { type: 'data', valueView: hex('0f01') } },
        { result: 0, returned: { type: 'data-access-result', result: 4 } },
        { result: 3, returned: undefined },
      ],
    },
  ],
  [
    'Set-Request-With-List-And-First-Datablock',
    'c1 05 c1 01 00080000010000ff02 00 00 00000001 02 0109',
    {
      type: 'set-request-with-list-and-first-datablock',
      invokeIdAndPriority: 0xc1,
      attributes: [{ descriptorView: hex('00080000010000ff02'), selectionView: undefined }],
      datablock: { lastBlock: false, blockNumber: 1, rawDataView: hex('0109') },
    },
  ],
  [
    'Action-Request-With-List-And-First-Pblock',
    'c3 05 c1 01 00120000 2c0000ff02 00 00000001 02 0102',
    {
      type: 'action-request-with-list-and-first-pblock',
      invokeIdAndPriority: 0xc1,
      descriptorViews: [hex('001200002c0000ff02')],
      pblock: { lastBlock: false, blockNumber: 1, rawDataView: hex('0102') },
    },
  ],
  [
    'Action-Request-Next-Pblock',
    'c3 02 c1 00000002',
    { type: 'action-request-next-pblock', invokeIdAndPriority: 0xc1, blockNumber: 2 },
  ],
  [
    'Action-Response-With-Pblock',
    'c7 02 c1 01 00000003 01 ff',
    {
      type: 'action-response-with-pblock',
      invokeIdAndPriority: 0xc1,
      pblock: { lastBlock: true, blockNumber: 3, rawDataView: hex('ff') },
    },
  ],
  // General-Ciphering: key-info by identifier and wrapped.
  [
    'General-Ciphering, identified key',
    'dd 00 08 4d4d4d0000000001 08 4752580000000001 00 00 01 00 00 07 30 00000001 aabb',
    {
      type: 'general-ciphering',
      transactionIdView: none,
      originatorSystemTitleView: hex('4d4d4d0000000001'),
      recipientSystemTitleView: hex('4752580000000001'),
      dateTimeView: none,
      otherInformationView: none,
      keyInfo: { type: 'identified-key', keyId: 0 },
      ciphered: { securityControl: 0x30, invocationCounter: 1, contentView: hex('aabb') },
    },
  ],
  [
    'General-Ciphering, wrapped key, other information',
    'dd 01 07 00 00 00 02 0102 01 01 00 03 ccddee 05 30 00000001',
    {
      type: 'general-ciphering',
      transactionIdView: hex('07'),
      originatorSystemTitleView: none,
      recipientSystemTitleView: none,
      dateTimeView: none,
      otherInformationView: hex('0102'),
      keyInfo: { type: 'wrapped-key', kekId: 0, keyCipheredDataView: hex('ccddee') },
      ciphered: { securityControl: 0x30, invocationCounter: 1, contentView: none },
    },
  ],
  // InitiateRequest with everything, and what comes when response-allowed is not its default.
  [
    'InitiateRequest',
    '01 01 10 00112233445566778899aabbccddeeff 01 00 01 05 06 5f1f0400 601e5d 04b0',
    {
      type: 'initiate-request',
      dedicatedKeyView: hex('00112233445566778899aabbccddeeff'),
      responseAllowed: false,
      proposedQualityOfService: 5,
      proposedDlmsVersionNumber: 6,
      proposedConformance: 0x601e5d,
      clientMaxReceivePduSize: 1200,
    },
  ],
  [
    // The short-name association: its vaa-name is the base name of the association object.
    'AARE of a short-name context',
    '61 29 a109 06 07 60857405080102 a203 0201 00 a305 a103 0201 00 be10 040e 08 00 06 5f1f0400 1c0320 01f4 fa00',
    aareOf({
      applicationContextName: 2,
      userInformation: {
        type: 'initiate-response',
        negotiatedQualityOfService: undefined,
        negotiatedDlmsVersionNumber: 6,
        negotiatedConformance: 0x1c0320,
        serverMaxReceivePduSize: 500,
        vaaName: 0xfa00,
      },
    }),
  ],
  [
    'AARE refused by the provider: no common version',
    '61 17 a109 06 07 60857405080101 a203 0201 01 a305 a203 0201 02',
    aareOf({
      result: 1,
      resultSourceDiagnostic: { source: 'acse-service-provider', diagnostic: 2 },
      userInformation: undefined,
    }),
  ],
]

function aareOf(fields: Partial<Extract<Apdu, { type: 'aare' }>>): Apdu {
  return {
    type: 'aare',
    protocolVersion: undefined,
    applicationContextName: 1,
    result: 0,
    resultSourceDiagnostic: { source: 'acse-service-user', diagnostic: 0 },
    respondingApTitleView: undefined,
    respondingAeQualifierView: undefined,
    respondingApInvocationId: undefined,
    respondingAeInvocationId: undefined,
    responderAcseRequirements: undefined,
    mechanismName: undefined,
    respondingAuthenticationValue: undefined,
    implementationInformationView: undefined,
    ...fields,
  }
}

function fieldsOf(field: ExplainedField): ExplainedField[] {
  return [field, ...field.children.flatMap(fieldsOf)]
}

t.test('golden octets', (t) => {
  for (const [name, octets, apdu] of golden) {
    t.same(decodeApdu(hex(octets)), apdu, name)
    t.equal(encodeApdu(apdu).toString('hex'), hex(octets).toString('hex'), name)
    t.notOk(
      fieldsOf(explain(hex(octets))).some(({ name }) => name === 'unreadable'),
      name,
    )
  }
  t.end()
})

t.test('numbers of two digits and broken text, explained', (t) => {
  const shown = (octets: string): string => explainData(hex(octets)).value
  t.equal(shown('0d25'), '25')
  t.equal(shown('0dff'), 'ff, no pair of digits')
  t.equal(shown('0c0241ff'), '41ff = "A\ufffd", no UTF-8')
  t.end()
})

t.test('what makers write otherwise', (t) => {
  const tolerated: [string, object][] = [
    // a list of bare results, and a single one
    ['c703c1020003', { responses: [{ result: 0 }, { result: 3 }] }],
    ['c701c100', { result: 0 }],
    ['c403c1010000ffff', { results: [{ type: 'data' }] }],
    [
      'c2090c07e70706040a362600ff8880000100006001 01ff021105',
      { timeView: hex('07e70706040a362600ff8880') },
    ],
    [
      '0f00000001 090c07e70706040a362600ff8880 1105',
      { dateTimeView: hex('07e70706040a362600ff8880'), valueView: hex('1105') },
    ],
    ['c502c100000001000000', { blockNumber: 1 }],
    // an AARE whose context name is of somebody else, and one with a field nobody knows
    ['6107 a105 0603 2a0304', { applicationContextName: -1 }],
    ['610a a203 020100 9f 03 010203', { result: 0 }],
  ]
  for (const [octets, fields] of tolerated)
    t.match(decodeApdu(hex(octets), { isTolerant: true }), fields, octets)
  for (const [octets] of tolerated.slice(0, -1))
    t.match(outcomeOf(() => decodeApdu(hex(octets))).code, /^DLMS_/, octets)
  t.end()
})

t.test('refused by name', (t) => {
  const refused: [string, string][] = [
    ['', 'DLMS_LENGTH_INVALID'],
    ['ff', 'DLMS_TAG_UNKNOWN'],
    ['c004c1', 'DLMS_TAG_UNKNOWN'],
    ['c001c100080000010000ff0202', 'DLMS_TAG_UNKNOWN'],
    ['c001c100080000010000ff020000', 'DLMS_LENGTH_INVALID'],
    ['c003c1848000000000', 'DLMS_SIZE_EXCEEDED'],
    ['c003c182ffff00', 'DLMS_LENGTH_INVALID'],
    ['cc0430000000', 'DLMS_LENGTH_INVALID'],
    ['6106a203020100a2', 'DLMS_LENGTH_INVALID'],
    ['610aa203020100a203020101', 'DLMS_VALUE_INVALID'],
    ['6007a1050603 2a0304', 'DLMS_VALUE_INVALID'],
    ['60058a020980', 'DLMS_LENGTH_INVALID'],
    ['60048a020980', 'DLMS_VALUE_INVALID'],
    ['6004ac028400', 'DLMS_TAG_UNKNOWN'],
    ['6203800200', 'DLMS_LENGTH_INVALID'],
    ['6206800100be0104', 'DLMS_LENGTH_INVALID'],
    ['01000000065e1f040000000000', 'DLMS_TAG_UNKNOWN'],
    ['01000000065f1f030000000000', 'DLMS_VALUE_INVALID'],
  ]
  for (const [octets, code] of refused)
    t.equal(outcomeOf(() => decodeApdu(hex(octets))).code, code, octets)
  t.equal(outcomeOf(() => decodeApdu(Buffer.alloc(2_000_000, 0x0f))).code, 'DLMS_SIZE_EXCEEDED')
  t.throws(() => encodeApdu({ type: 'nonsense' } as never), { code: 'DLMS_VALUE_INVALID' })
  const unfit: Apdu[] = [
    { type: 'get-request-normal', invokeIdAndPriority: 0, descriptorView: Buffer.alloc(8) },
    { type: 'get-request-next', invokeIdAndPriority: 256, blockNumber: 0 },
    { type: 'get-request-next', invokeIdAndPriority: 0, blockNumber: 2 ** 32 },
    { type: 'get-request-next', invokeIdAndPriority: 0, blockNumber: -1 },
    { type: 'rlrq', reason: 128 },
    { type: 'aarq', applicationContextName: -1 },
    { type: 'aarq', senderAcseRequirements: '2' },
    { type: 'aarq', callingApInvocationId: 2 ** 31 },
    { type: 'confirmed-service-error', service: 1, serviceError: { group: 6, error: 256 } },
    {
      type: 'initiate-response',
      negotiatedQualityOfService: -129,
      negotiatedDlmsVersionNumber: 6,
      negotiatedConformance: 0,
      serverMaxReceivePduSize: 0,
      vaaName: 7,
    },
    {
      type: 'initiate-response',
      negotiatedDlmsVersionNumber: 6,
      negotiatedConformance: 1 << 24,
      serverMaxReceivePduSize: 0,
      vaaName: 7,
    },
  ]
  for (const apdu of unfit)
    t.equal(outcomeOf(() => encodeApdu(apdu)).code, 'DLMS_VALUE_INVALID', JSON.stringify(apdu))
  const long = Buffer.alloc(3_000_000)
  t.throws(() => encodeApdu({ type: 'rlrq', userInformation: signed(long) }), {
    code: 'DLMS_SIZE_EXCEEDED',
  })
  t.end()
})

function signed(contentView: Buffer): Extract<Apdu, { type: 'general-signing' }> {
  return {
    type: 'general-signing',
    transactionIdView: none,
    originatorSystemTitleView: none,
    recipientSystemTitleView: none,
    dateTimeView: none,
    otherInformationView: none,
    contentView,
    signatureView: none,
  }
}

t.test('an encoded APDU has room for the wrapper', (t) => {
  const frame = wrapInPlace(encodeApdu({ type: 'rlrq', reason: 0 }), 16, 1)
  t.equal(frame.toString('hex'), '00010010000100056203800100')
  t.end()
})

t.test('any APDU: to octets and back', (t) => {
  const types = new Set<string>()
  fc.assert(
    fc.property(apdus, (apdu) => {
      types.add(apdu.type)
      const bytes = encodeApdu(apdu)
      const back = decodeApdu(bytes)
      t.same(back, apdu)
      if (!encodeApdu(back).equals(bytes)) throw new Error('the same octets')
      // A tolerant reader reads the same out of what is right.
      t.same(decodeApdu(bytes, { isTolerant: true }), apdu)
    }),
    { numRuns: 1500 },
  )
  t.ok(types.size > apduTypeCount / 2, `${types.size} of ${apduTypeCount} types`)
  t.end()
})

t.test('any APDU, cut anywhere, is refused by name or is another one', (t) => {
  fc.assert(
    fc.property(apdus, (apdu) => {
      const bytes = encodeApdu(apdu)
      for (let end = 0; end < bytes.length; end++) {
        const cut = bytes.subarray(0, end)
        const { code, value } = outcomeOf(() => decodeApdu(cut))
        // Without its counter an exception-response is whole, as an older edition has it; nothing
        // else is.
        if (code === undefined && value.type !== 'exception-response')
          throw new Error(`cut at ${end}: ${cut.toString('hex')}`)
        outcomeOf(() => decodeApdu(cut, { isTolerant: true }))
      }
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test('any octets: an APDU or a refusal, and an explanation', (t) => {
  fc.assert(
    fc.property(
      apdus,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      (apdu, changes) => {
        const bytes = Buffer.from(encodeApdu(apdu))
        for (const [at, octet] of changes) bytes[at % bytes.length] = octet
        outcomeOf(() => decodeApdu(bytes))
        const tolerant = outcomeOf(() => decodeApdu(bytes, { isTolerant: true }))
        const explained = explain(bytes)
        for (const { at, bytes: count } of fieldsOf(explained))
          if (at < 0 || at + count > bytes.length) throw new Error('a field within the octets')
        const isUnreadable = explained.children.some(({ name }) => name === 'unreadable')
        if (isUnreadable !== (tolerant.code !== undefined) && explained.name !== 'wrapper')
          throw new Error('explained as it is decoded')
      },
    ),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('an explanation', (t) => {
  const lines = (text: string): string[] => explanationLines(explain(hex(text)))
  t.same(
    lines(
      '0001000100100024 c401c100 0203 090c07ea060c050d0e0f00ff8880 06000004d2 0203 0f00 161e 0a036b5768',
    ),
    [
      'wrapper  [0+44]',
      '  version: 1  [0+2]',
      '  source: 1  [2+2]',
      '  destination: 16  [4+2]',
      '  length: 36  [6+2]',
      '  get-response-normal: tag C4  [8+36]',
      '    invoke-id-and-priority: invoke-id 1, confirmed, high priority  [10+1]',
      '    result: data  [11+33]',
      '      value  [12+32]',
      '        structure: 3  [12+32]',
      '          octet-string: 07ea060c050d0e0f00ff8880 = 2026-06-12 Fri 13:14:15.00 UTC+02:00 daylight-saving  [14+14]',
      '          double-long-unsigned: 1234  [28+5]',
      '          structure: 3  [33+11]',
      '            integer: 0  [35+2]',
      '            enum: 30  [37+2]',
      '            visible-string: "kWh"  [39+5]',
    ],
  )
  t.same(lines('d80106000003eb'), [
    'exception-response: tag D8  [0+7]',
    '  state-error: service-not-allowed (1)  [1+1]',
    '  service-error  [2+5]',
    '    service-error: invocation-counter-error (6)  [2+1]',
    '    invocation-counter: 1003  [3+4]',
  ])
  t.same(lines('0e010603'), [
    'confirmed-service-error: tag 0E  [0+4]',
    '  service: initiate-error (1)  [1+1]',
    '  service-error: initiate: pdu-size-too-short (3)  [2+2]',
  ])
  t.match(lines('c502c100000001ff').at(-1), /trailing-octets: ff {2}\[7\+1\]/)
  t.match(lines('c401c100060000').at(-1), /unreadable: DLMS_LENGTH_INVALID/)
  t.match(lines('').join(), /APDU none.*unreadable: DLMS_LENGTH_INVALID/)
  t.end()
})

t.test('an explanation goes into what is enciphered, cut or signed', (t) => {
  const get = 'c001c100080000010000ff0200'
  const decipher = () => ({ view: hex(get), remark: '' })
  const opened = explain(hex('c8 07 30 00000001 aabb'), { decipher })
  t.equal(opened.children.at(-1)?.children[0]?.name, 'get-request-normal')
  t.notOk(explain(hex('c8 07 30 00000001 aabb')).children.some(({ name }) => name === 'plaintext'))
  const seen: string[] = []
  explain(hex('6012 a606 0404 01020304 be08 0406 21 05 3000000001'.replaceAll(' ', '')), {
    decipher: (envelope, carrier) => (seen.push(envelope.type, carrier.type), undefined),
  })
  t.same(seen, [])
  explain(hex('6013 a606 0404 01020304 be09 0407 21 05 3000000001'), {
    decipher: (envelope, carrier) => (seen.push(envelope.type, carrier.type), undefined),
  })
  t.same(seen, ['glo-initiate-request', 'aarq'])
  const block = explain(hex(`e0 81 0001 0000 0d ${get}`))
  t.equal(block.children.at(-1)?.children[0]?.name, 'get-request-normal')
  const signed = explain(hex(`df 00 00 00 00 00 0d ${get} 01 ff`))
  t.equal(
    signed.children.find(({ name }) => name === 'content')?.children[0]?.name,
    'get-request-normal',
  )
  // Envelopes within envelopes end somewhere.
  let nested = hex(get)
  for (let i = 0; i < 40; i++)
    nested = Buffer.concat([
      hex('df0000000000'),
      Buffer.of(0x82, nested.length >> 8, nested.length & 255),
      nested,
      hex('00'),
    ])
  t.ok(fieldsOf(explain(nested)).some(({ value }) => /nested too deeply/.test(value)))
  t.end()
})
