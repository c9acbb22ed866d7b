/**
 * Octets in logs: notations, prefixes, hexdumps; where a fault is, and that nothing is made up
 * behind it.
 */
import fc from 'fast-check'
import t from 'tap'
import { decodeLines } from '../../../../actors/cli/meter/dlms-decode.ts'
import { octetsInText } from '../../../../actors/cli/meter/log-octets.ts'

/** SNRM of client 16 to server 1. */
const snrm = '7ea0070321930f017e'
const spaced = '7E A0 07 03 21 93 0F 01 7E'

const hexesOf = (text: string): string[] =>
  octetsInText(text)
    .lines.map(({ octets }) => octets.toString('hex'))
    .filter((hex) => hex !== '')

t.test('ordinary notations and lines of logs', (t) => {
  for (const text of [
    snrm,
    spaced,
    '7e:a0:07:03:21:93:0f:01:7e',
    '7e-a0-07-03-21-93-0f-01-7e',
    '0x7e, 0xa0, 0x07,0x03,0x21,0x93,0x0f,0x01,0x7e',
    String.raw`\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e`,
    '[11:40:02][V][dlms_meter:529]: 7E.A0.07.03.21.93.0F.01.7E',
    '[11:40:02][V][dlms_meter:529]: 7E.A0.07.03.21.93.0F.01.7E (9)',
    String.raw`13:00:11 [debug  ] Sending data  data=bytearray(b'~\xa0\x07\x03!\x93\x0f\x01~') transport=Hdlc(client=16, port='COM9')`,
    `send: ${spaced} - MP200 opens the link`,
    '{0x7e, 0xa0, 0x07, 0x03, 0x21, 0x93, 0x0f, 0x01, 0x7e};',
    '7EA0 0703 2193 0F01 7E',
    '[7E A0 07 03 21 93 0F 01 7E]',
    '7E A0 07 03 | 21 93 0F 01 7E',
    `TX: ${snrm}`,
    `TX:${snrm}`,
    `Rx ${spaced}`,
    `>> ${spaced}`,
    `<- ${spaced}`,
    `> ${snrm}`,
    `→ ${snrm}`,
    `<< ${snrm} <<`,
    `[12:00:01.123] ${spaced}`,
    `12:00:01 ${spaced}`,
    `12:00:01.123 -> ${spaced}`,
    `2026-11-30 12:00:01 ${snrm}`,
    `2026-11-30 ${snrm}`,
    `2026-11-30T12:00:01.123Z INFO rx ${spaced}`,
    `2026-11-30T12:00:01+01:00 ${spaced}`,
    `2026-11-30 12:00:01,123 DEBUG [meter-1] <- ${snrm}`,
    `30.11.2026 12:00:01 RX: ${snrm}`,
    `11/30/2026 12:00:01 PM TX ${snrm}`,
    `Nov 30 12:00:01 host app[123]: RX ${snrm}`,
    `1732968000.123456 RX ${snrm}`,
    `TX: 12:00:01\t${spaced}`,
    `12:00:01.123 TX:\t${spaced}`,
    `[12:00:01][D][uart_debug:114]: <<< 7E:A0:07:03:21:93:0F:01:7E`,
    `I (12345) DLMS: ${spaced}`,
    `DEBUG:dlms:Sending b'${snrm}'`,
    `client 16 -> server 1: ${snrm}`,
    `meter 00DB100000000001: ${snrm}`,
    `00DB100000000001 -> ${snrm}`,
    `10.0.0.1:4059 >> ${snrm}`,
    `Sent 9 bytes: ${spaced}`,
    `RX (9 bytes): ${spaced}`,
    `${spaced} (9 bytes)`,
    `${spaced}  # SNRM`,
    `${spaced} // SNRM of client 10`,
    `decode: ${snrm}`,
    `data=${snrm}`,
    `"payload":"${snrm}"`,
    '00000000  7e a0 07 03 21 93 0f 01  7e                       |~...!...~|',
    '00000000: 7ea0 0703 2193 0f01 7e                   ~...!...~',
    '0000   7e a0 07 03 21 93 0f 01 7e   ~...!...~',
    '0x0000:  7ea0 0703 2193 0f01 7e',
  ]) {
    t.same(hexesOf(text), [snrm], text)
    t.same(octetsInText(text).faults, [], text)
  }
  t.end()
})

t.test('digits that look like something else stay octets', (t) => {
  for (const [text, hex] of [
    ['07e80b03 07130000', '07e80b0307130000'],
    ['12 00 01 20 26 11 30', '12000120261130'],
    ['20261130', '20261130'],
    ['2026 1130', '20261130'],
    ['12:00:01:0a:0b', '1200010a0b'],
    ['16 16 16 16', '16161616'],
    ['TX: 12 00 01', '120001'],
    ['de ad be ef', 'deadbeef'],
    ['RX dead beef', 'deadbeef'],
    ['20-26-11-30-12', '2026113012'],
  ] as const)
    t.same(hexesOf(text), [hex], text)
  t.end()
})

t.test('a hexdump of many lines is one piece', (t) => {
  const octets = Buffer.from(Array.from({ length: 52 }, (_, i) => (i * 37) & 0xff))
  const rows = Array.from({ length: 4 }, (_, i) => octets.subarray(16 * i, 16 * i + 16))
  const pairs = (row: Buffer): string[] => row.toString('hex').match(/../g) ?? []
  const text = (row: Buffer): string => row.toString('latin1').replaceAll(/[^!-~]/g, '.')
  const offset = (i: number, digits: number): string => (16 * i).toString(16).padStart(digits, '0')
  const dumps = {
    'hexdump -C': (row: Buffer, i: number) =>
      `${offset(i, 8)}  ${pairs(row).slice(0, 8).join(' ').padEnd(23)}  ${pairs(row).slice(8).join(' ').padEnd(23)}  |${text(row)}|`,
    xxd: (row: Buffer, i: number) =>
      `${offset(i, 8)}: ${(row.toString('hex').match(/.{1,4}/g) ?? []).join(' ').padEnd(39)}  ${text(row)}`,
    Wireshark: (row: Buffer, i: number) =>
      `${offset(i, 4)}   ${pairs(row).join(' ').padEnd(47)}   ${text(row)}`,
    'with a dash': (row: Buffer, i: number) =>
      `${offset(i, 4)}: ${[pairs(row).slice(0, 8).join(' '), pairs(row).slice(8).join(' ')].filter((half) => half !== '').join(' - ')}`,
  }
  for (const [name, line] of Object.entries(dumps)) {
    const { lines, faults } = octetsInText(rows.map(line).join('\n'))
    t.equal(
      Buffer.concat(lines.map((one) => one.octets)).toString('hex'),
      octets.toString('hex'),
      name,
    )
    t.same(faults, [], name)
  }
  t.end()
})

t.test('faults are named by their place', (t) => {
  for (const [text, octets, line, column, octet] of [
    ['c001c1 0003 0100010800zz 0200', ['c001c100030100010800'], 1, 23, 10],
    ['c0g1c1 0003', ['c0'], 1, 3, 1],
    ['c0 01 c1 zz 00 03 01 00 01', ['c001c1'], 1, 10, 3],
    ['c001c', ['c001'], 1, 5, 2],
    ['TX: c001c1 00 0\nRX: c401', ['c001c100', 'c401'], 1, 15, 4],
    ['c001c1000301000108 O0ff0200', ['c001c1000301000108'], 1, 20, 9],
    ['TX: c401\nTX: c001c1...', ['c401', 'c001c1'], 2, 11, 5],
    ['c001\nc1x0\n0003', ['c001', 'c1'], 2, 3, 3],
  ] as const) {
    t.same(hexesOf(text), octets, text)
    t.match(octetsInText(text).faults, [{ line, column, octet }], text)
  }
  t.end()
})

t.test('decoded up to the fault, and nothing behind it', (t) => {
  const said = decodeLines('c001c1 0003 01000108 O0ff 0200 c401c100060000000a', {}).join('\n')
  t.match(said, /class-id|invoke-id/)
  t.match(said, /note: line 1, column 22, behind octet 9: "O0ff" is no pair/)
  t.notMatch(said, /get-response/)
  t.match(said, /cosem-attribute-descriptor: 000301000108/, 'what there is of a field')
  const partial = decodeLines('0f00000001000203110506000000070600zz', {}).join('\n')
  t.match(
    partial,
    /structure: 3, cut short[^]*unsigned: 5[^]*double-long-unsigned: 7[^]*octets: 0600 /,
  )
  const cut = decodeLines('0f00zz', {}).join('\n')
  t.notMatch(cut, /integer/, 'what is left of an APDU is not data')
  const json = JSON.parse(decodeLines('c001zz', { json: true }).join('')) as { notes: string[] }
  t.match(json.notes, [/column 5/])
  for (const text of ['zz', 'hello world', '', '\n \n'])
    t.throws(() => decodeLines(text, {}), { code: 'DLMS_VALUE_INVALID' }, text)
  const lines = decodeLines(
    '[12:00:01] TX: c001c1 0003 0100010800ff 02 00\n[12:00:02] RX: c401c1000600zz\n[12:00:03] TX: c001c2 0003 0100020800ff 02 00',
    {},
  ).filter((line) => !line.startsWith(' '))
  t.match(lines, [/^get-request/, /^get-response|^APDU/, /^get-request/, /^note: line 2/])
  t.end()
})

t.test('any text is octets or faults, in line', (t) => {
  const words = fc.constantFrom(
    'TX:',
    '12:00:01',
    'c0',
    '01',
    'zz',
    '->',
    '[a]',
    '(',
    '0',
    '\n',
    '|',
    snrm,
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(words).map((all) => all.join(' ')),
      ),
      (text) => {
        const { lines, faults } = octetsInText(text)
        const digits = text.replaceAll(/[^0-9a-f]/gi, '').length
        const octets = lines.reduce((sum, line) => sum + line.octets.length, 0)
        return octets * 2 <= digits && faults.every(({ line, column }) => line > 0 && column > 0)
      },
    ),
    { numRuns: 2_000 },
  )
  t.end()
})
