/**
 * Registration files of electricity: lines of fields ended by `|`, with the header and trailer of
 * the industry's public flows, and groups of Busbar's own definition.
 *
 * @source core/docs/operating/registration-files.md has every field
 */
import { numberOf, timeOf } from './days.ts'
import type { FileForm, FileHeader, RecordStart } from './file-form.ts'
import type { ItemKind } from './registration-record.ts'

/** Flow and version, the third field of the header. */
export const electricityFlows = {
  update: 'R0001001',
  refresh: 'R0002001',
  response: 'R0003001',
  status: 'D0350001',
} as const

/** Flag of the header that marks files of the operational service; others are tests. */
export const operationalFlag = 'OPER'

/** The longest number of a sequence or instruction: INT(12). */
export const sequenceDigitsMax = 12
const countDigitsMax = 12
const fileId = /^[A-Z0-9]{1,10}$/
const participant = /^[A-Z0-9]{1,4}$/
const role = /^[A-Z0-9]$/

/** Each field is ended by `|`, the last one as well: a line that was cut short is noticed. */
function fieldsOf(line: string): string[] | undefined {
  const fields = line.split('|')
  return fields.pop() === '' ? fields : undefined
}

function headerOf(lines: readonly string[]): FileHeader | string {
  const header = fieldsOf(lines[0] ?? '')
  if (header?.length !== 12 || header[0] !== 'ZHV') return 'the first line is no header ZHV'
  const [, file = '', flow, fromRole = '', source = '', toRole = '', to = '', time = ''] = header
  const { update, refresh } = electricityFlows
  if (!fileId.test(file)) return 'the file id of the header is not valid'
  if (flow !== update && flow !== refresh) return 'the flow of the header is no registration file'
  if (!role.test(fromRole) || !participant.test(source)) return 'the sender is not valid'
  if (!role.test(toRole) || !participant.test(to)) return 'the receiver is not valid'
  const created = timeOf(time)
  if (created === undefined) return 'the creation time of the header is not valid'
  if (header.slice(8, 11).some((field) => field !== '')) return 'fields 9 to 11 are not empty'
  if (header[11] !== operationalFlag) return 'the flag of the header is not OPER'
  const head = fieldsOf(lines[1] ?? '')
  const sequence = head?.length === 2 ? numberOf(head[1]!, sequenceDigitsMax, 1) : undefined
  if (head?.[0] !== 'R01' || sequence === undefined) return 'the second line is no group R01'
  return { source, kind: flow === update ? 'update' : 'refresh', sequence, created, file }
}

function countOf(trailer: string, { file }: FileHeader): number | string {
  const fields = fieldsOf(trailer)
  if (fields?.length !== 6) return 'the trailer ZPT is not whole'
  const [, id, count = '', empty, flows, time = ''] = fields
  if (id !== file) return 'the trailer names another file'
  if (empty !== '' || flows !== '1') return 'the trailer has other than one flow'
  if (timeOf(time) === undefined) return 'the creation time of the trailer is not valid'
  return numberOf(count, countDigitsMax) ?? 'the count of the trailer is no number'
}

function startOf(fields: readonly string[]): RecordStart | undefined {
  if (fields.length !== 4) return undefined
  const [, instruction = '', number = '', transaction = ''] = fields
  if (transaction !== '' && numberOf(transaction, 10) === undefined) return undefined
  return { instruction: numberOf(instruction, sequenceDigitsMax, 1), number }
}

const items: readonly (readonly [string, ItemKind])[] = [
  ['R11', 'supplier'],
  ['R12', 'network-operator'],
  ['R13', 'energisation'],
  ['R14', 'profile-class'],
  ['R15', 'agent'],
  ['R16', 'domestic'],
  ['R17', 'direction'],
  ['R18', 'related'],
]

export const electricityForm: FileForm = {
  fuel: 'electricity',
  headLines: 2,
  headerOf,
  recordPrefix: Buffer.from('R10|'),
  trailerPrefix: Buffer.from('ZPT|'),
  countOf,
  fieldsOf,
  startOf,
  items: new Map(items),
}
