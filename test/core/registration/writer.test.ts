/** Response and status files as they are written, and the service flag. */
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import type { Answer } from '../../../core/registration/response-file.ts'
import {
  fileFault,
  writeElectricityResponse,
  writeGasResponse,
} from '../../../core/registration/response-file.ts'
import { recordFault } from '../../../core/registration/rejection-reasons.ts'
import { serviceFlagOf, type InventoryStatus } from '../../../core/registration/service-flag.ts'
import {
  writeElectricityStatus,
  writeGasStatus,
  type StatusRow,
} from '../../../core/registration/status-file.ts'

const created = Date.UTC(2026, 0, 5, 18, 30, 1)
const address = {
  file: 'B0000009',
  fromRole: 'Z',
  from: 'DCCX',
  toRole: 'P',
  to: 'EELC',
  created,
  sequence: 9,
}
const gasAddress = { from: '0000012345', created, sequence: 9 }
const header = (flow: string) => `ZHV|B0000009|${flow}|Z|DCCX|P|EELC|20260105183001||||OPER|`
const trailer = (count: number) => `ZPT|B0000009|${count}||1|20260105183001|`

async function linesOf(parts: AsyncIterable<Buffer>): Promise<string[]> {
  let text = ''
  for await (const part of parts) text += part.toString('latin1')
  const lines = text.split('\n')
  t.equal(lines.pop(), '', 'the last line is ended')
  return lines
}

const answer: Answer = {
  answered: { file: 'F0000001', sequence: 7 },
  received: 20260106,
  recordsOf: () => 5,
}
const faults = [
  recordFault('supplier', { instruction: 12, line: 40, number: '2000000000015' }, 'supplier'),
  recordFault('instructionNumber', { instruction: 0, line: 44, number: undefined }),
]

t.test('electricity: a response names each rejected record, then the totals', async (t) => {
  t.same(await linesOf(writeElectricityResponse(address, answer, faults)), [
    header('R0003001'),
    '83H|9|',
    'R80|F0000001|7|',
    '84H|1|RGRJ|12|2000000000015|20260106||||',
    '85H|58|',
    'R86|40|supplier id invalid: supplier|',
    '84H|2|RGRJ|0||20260106||||',
    '85H|907|',
    'R86|44|instruction number invalid or not rising|',
    '749|9|',
    '357|3|RGTO|20260106|F0000001|5|3|2|',
    trailer(10),
  ])
})

t.test('a file that is rejected whole has no records received', async (t) => {
  const none = { ...answer, recordsOf: () => 0 }
  const fault = fileFault(8, 'the trailer ZPT is not whole')
  t.match(await linesOf(writeElectricityResponse(address, none, [fault])), [
    header('R0003001'),
    '83H|9|',
    'R80|F0000001|7|',
    '84H|1|RGRJ|0||20260106||||',
    '85H|900|',
    'R86|8|the trailer ZPT is not whole|',
    '749|9|',
    '357|2|RGTO|20260106|F0000001|0|0|0|',
    trailer(7),
  ])
  t.same(await linesOf(writeGasResponse(gasAddress, none, [fault])), [
    '"A00",0000012345,"RGS",20260105,"183001",9',
    '"R50",0,,"900",8,"the trailer ZPT is not whole"',
    '"R51","F0000001",7,20260106,0,0,0',
    '"Z99",2',
  ])
})

t.test('gas: a response names each rejected record, then the totals', async (t) => {
  t.same(await linesOf(writeGasResponse(gasAddress, answer, faults)), [
    '"A00",0000012345,"RGS",20260105,"183001",9',
    '"R50",12,2000000000015,"58",40,"supplier id invalid: supplier"',
    '"R50",0,,"907",44,"instruction number invalid or not rising"',
    '"R51","F0000001",7,20260106,5,3,2',
    '"Z99",3',
  ])
})

const rows: StatusRow[] = [
  { number: '2000000000015', flag: 'A', from: 20260101, supplier: 'SUPA' },
  { number: '1234567890126', flag: 'N', from: 20260102, supplier: 'SUPB' },
]

t.test('status files', async (t) => {
  t.same(await linesOf(writeElectricityStatus(address, rows)), [
    header('D0350001'),
    '81H|9|',
    '82H|1|FLAG|2000000000015|A|20260101|SUPA|',
    '82H|2|FLAG|1234567890126|N|20260102|SUPB|',
    trailer(3),
  ])
  const gasRows = [{ ...rows[0]!, number: '0012345678' }]
  t.same(await linesOf(writeGasStatus(gasAddress, gasRows)), [
    '"A00",0000012345,"DXI",20260105,"183001",9',
    '"E46",0012345678,"A",20260101',
    '"Z99",1',
  ])
  t.same(await linesOf(writeGasStatus(gasAddress, [])), [
    '"A00",0000012345,"DXI",20260105,"183001",9',
    '"Z99",0',
  ])
})

t.test('a large file is written in parts', async (t) => {
  async function* many(): AsyncGenerator<StatusRow> {
    for (let i = 0; i < 20_000; i++) yield rows[i % 2]!
  }
  let parts = 0
  let lines = 0
  for await (const part of writeElectricityStatus(address, many())) {
    t.ok(part.length <= limits.registrationWriteBytes + limits.registrationLineBytesMax)
    parts++
    lines += part.toString('latin1').split('\n').length - 1
  }
  t.ok(parts > 10, `${parts} parts`)
  t.equal(lines, 20_003)
})

t.test('the service flag is that of the most advanced meter', async (t) => {
  for (const [flag, ...statuses] of [
    ['N'],
    ['N', 'Pending', 'Whitelisted', 'Decommissioned', 'Withdrawn'],
    ['I', 'InstalledNotCommissioned'],
    ['I', 'Withdrawn', 'InstalledNotCommissioned', 'Pending'],
    ['A', 'Commissioned'],
    ['A', 'Suspended'],
    ['A', 'Recovered'],
    ['A', 'Recovery'],
    ['A', 'InstalledNotCommissioned', 'Decommissioned', 'Commissioned'],
  ] as const)
    t.equal(serviceFlagOf(statuses as readonly InventoryStatus[]), flag, statuses.join(' '))
})
