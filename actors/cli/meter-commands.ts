/** `busbar meter read | write | invoke | objects | profile`: the DLMS client for people, straight to a meter. */
import { asBuffer } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { DataAccessResult } from '../../core/dlms/apdu.ts'
import { decodeValue } from '../../core/dlms/axdr.ts'
import {
  attributeOf,
  classOf,
  decodeColumns,
  decodeObjectList,
  decodeScalerUnit,
  findClass,
  invokeOperation,
  isScaled,
  methodOf,
  nameOfObis,
  rangeOfEntries,
  rangeOfTimes,
  readAttribute,
  readOperation,
  readProfile,
  readReturn,
  scalerAttributeOf,
  usualClassOf,
  writeOperation,
  type CosemObject,
  type Json,
  type ProfileColumn,
  type Scaled,
  type ScalerUnit,
} from '../../core/dlms/cosem/index.ts'
import type { Selection } from '../../core/dlms/descriptor.ts'
import type { CosemResult } from '../../core/ports/wan.ts'
import { wordsOfJson } from './json-words.ts'
import { clientOptionsOf, meterOf, type Meter, type MeterOptions } from './meter-options.ts'
import { MeterSession, type MeterAssociation } from './meter-session.ts'
import { describeApdu } from './push-words.ts'

type Terminal = { out: (line: string) => void; err: (line: string) => void }
/** Of one object, beside what says how the meter is reached. */
export type ObjectOptions = MeterOptions & { class?: string; attribute?: string; method?: string }
export type ProfileOptions = MeterOptions & { from?: string; to?: string; entries?: string }

const profileClass = 7
const associationList: CosemObject = { classId: 15, instanceId: '0-0:40.0.0.255' }
const dataClass = 1

/** Opens the meter, runs `action`, and leaves in order whatever happens. */
export async function withMeter<T>(
  where: string,
  options: MeterOptions,
  terminal: Terminal,
  action: (meter: MeterAssociation) => Promise<T>,
): Promise<T> {
  // Faults in what was given are told before anybody is called.
  const asked = await meterOf(where, options)
  const session = await MeterSession.open(asked.place, {
    trace(direction, octetsView) {
      if (options.hex) terminal.err(`${direction} ${octetsView.toString('hex')}`)
    },
    pushed: (apdu) => terminal.err(`note: it sent meanwhile: ${describeApdu(apdu)}`),
  })
  try {
    const meter = session.associate(clientOptionsOf(asked, await counterFor(asked, session)))
    const result = await action(meter).catch((fault: unknown) => {
      throw withCounter(fault, meter.client.expectedCounter)
    })
    await meter.release()
    return result
  } finally {
    await session.close()
  }
}

/** What a meter said of the counter that it expects helps the person more than that it refused. */
function withCounter(fault: unknown, expected: number | undefined): unknown {
  if (expected === undefined || !(fault instanceof BrokerError)) return fault
  const told = `the meter says that it expects the counter ${expected}: give --counter ${expected}`
  return new BrokerError(fault.code, `${fault.detail ?? ''}; ${told}`, { cause: fault })
}

/** The next counter to send with: as it was given, or one above what the meter tells its public client. */
async function counterFor(
  { address, counter, counterAt }: Meter,
  session: MeterSession,
): Promise<number> {
  if (counter !== undefined) return counter
  if (address.security === undefined) return 1
  if (counterAt === undefined)
    throw new BrokerError(
      'CONFIG_INVALID',
      'this profile tells no invocation counter: give --counter',
    )
  const asPublic = session.associate({}, counterAt.client)
  const object = { classId: dataClass, instanceId: counterAt.obis }
  const [told] = await asPublic.exchange([readOperation(object, 2)])
  await asPublic.release()
  const value = numberOf(told)
  if (value === undefined)
    throw new BrokerError(
      'DEVICE_ANSWER_INVALID',
      `the meter does not tell client ${counterAt.client} its invocation counter (${counterAt.obis}): give --counter`,
    )
  return value + 1
}

/** The octets of a result, or the refusal by name. @throws BrokerError DEVICE_REFUSED */
function valueOf(result: CosemResult | undefined): Buffer {
  if (result?.result === DataAccessResult.SUCCESS && result.value !== undefined)
    return asBuffer(result.value)
  throw refusal(result)
}

function refusal(result: CosemResult | undefined): BrokerError {
  const code = result?.result ?? DataAccessResult.OTHER_REASON
  const name = Object.entries(DataAccessResult).find(([, value]) => value === code)?.[0]
  return new BrokerError(
    'DEVICE_REFUSED',
    name === undefined ? `result ${code}` : name.toLowerCase().replaceAll('_', '-'),
  )
}

function objectOf(obis: string, { class: classText }: ObjectOptions): CosemObject {
  const classId = classText === undefined ? usualClassOf(obis) : Number(classText)
  if (!Number.isInteger(classId) || classId < 0 || classId > 0xffff)
    throw new BrokerError('CONFIG_INVALID', '--class is a number, 3 for a register')
  return { classId, instanceId: obis }
}

/** A number, or a name of the class's tables. */
const memberIn = (text: string): number | string => (/^-?\d+$/.test(text) ? Number(text) : text)

const scaledText = ({ decimal, unit }: Scaled): string =>
  unit === '' ? decimal : `${decimal} ${unit}`

/** Reads one attribute, a register with its scaler and unit. */
export async function readCommand(
  address: string,
  obis: string,
  options: ObjectOptions,
  terminal: Terminal,
): Promise<void> {
  const object = objectOf(obis, options)
  const attribute = memberIn(options.attribute ?? '2')
  const id =
    typeof attribute === 'number' ? attribute : attributeOf(classOf(object.classId), attribute).id
  const scalerId = isScaled(object.classId, id) ? scalerAttributeOf(object.classId) : undefined
  const operations = [id, ...(scalerId === undefined ? [] : [scalerId])].map((one) =>
    readOperation(object, one),
  )
  const [read, scaler] = await withMeter(address, options, terminal, (meter) =>
    meter.exchange(operations),
  )
  const octets = valueOf(read)
  const { className, name, json, scaled, notes } = readAttribute(
    object,
    id,
    octets,
    scaler?.value && decodeScalerUnit(asBuffer(scaler.value)),
  )
  if (options.json)
    return terminal.out(JSON.stringify({ obis, className, name, json, scaled, notes }))
  const shown = scaled === undefined ? wordsOfJson(json) : scaledText(scaled)
  terminal.out(`${obis}  ${nameOfObis(obis)}  ${className} ${name}: ${shown}`)
  for (const note of notes) terminal.err(`note: ${note.path} ${note.problem} ${note.detail}`)
}

function jsonIn(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    // A bare word is a text, so that enumerations need no quotes.
    return text
  }
}

/** Writes one attribute. */
export async function writeCommand(
  address: string,
  obis: string,
  value: string,
  options: ObjectOptions,
  terminal: Terminal,
): Promise<void> {
  const object = objectOf(obis, options)
  const operation = writeOperation(object, memberIn(options.attribute ?? '2'), jsonIn(value))
  const [result] = await withMeter(address, options, terminal, (meter) =>
    meter.exchange([operation]),
  )
  if (result?.result !== DataAccessResult.SUCCESS) throw refusal(result)
  terminal.out('written')
}

/** Invokes one method, and shows what it returns. */
export async function invokeCommand(
  address: string,
  obis: string,
  parameter: string | undefined,
  options: ObjectOptions,
  terminal: Terminal,
): Promise<void> {
  const object = objectOf(obis, options)
  const method = memberIn(options.method ?? '1')
  const operation = invokeOperation(object, method, parameter === undefined ? 0 : jsonIn(parameter))
  const [result] = await withMeter(address, options, terminal, (meter) =>
    meter.exchange([operation]),
  )
  if (result?.result !== DataAccessResult.SUCCESS) throw refusal(result)
  if (result.value === undefined) return terminal.out('done')
  const { id } = methodOf(classOf(object.classId), method)
  const { json } = readReturn(object, id, asBuffer(result.value))
  terminal.out(options.json ? JSON.stringify(json) : `done: ${wordsOfJson(json)}`)
}

/** Lists what the association sees. */
export async function objectsCommand(
  address: string,
  options: MeterOptions,
  terminal: Terminal,
): Promise<void> {
  const [listed] = await withMeter(address, options, terminal, (meter) =>
    meter.exchange([readOperation(associationList, 2)]),
  )
  const { objects, odd } = decodeObjectList(valueOf(listed))
  if (options.json) return terminal.out(JSON.stringify({ objects, odd }))
  for (const { classId, version, instanceId, attributes, methods } of objects) {
    const readable = attributes.filter(({ canRead }) => canRead).map(({ id }) => id)
    const writable = attributes.filter(({ canWrite }) => canWrite).map(({ id }) => id)
    const callable = methods.filter(({ canInvoke }) => canInvoke).map(({ id }) => id)
    const rights = [
      readable.length > 0 && `read ${readable.join()}`,
      writable.length > 0 && `write ${writable.join()}`,
      callable.length > 0 && `invoke ${callable.join()}`,
    ].filter((part) => part !== false)
    const className = findClass(classId, version)?.name ?? 'class'
    terminal.out(
      `${instanceId.padEnd(20)} ${`${className} ${classId} v${version}`.padEnd(28)} ${nameOfObis(instanceId)}  ${rights.join('; ')}`,
    )
  }
  for (const one of odd) terminal.err(`note: an entry of another shape: ${JSON.stringify(one)}`)
}

/** Prints the rows of a profile. */
export async function profileCommand(
  address: string,
  obis: string,
  options: ProfileOptions,
  terminal: Terminal,
): Promise<void> {
  const object: CosemObject = { classId: profileClass, instanceId: obis }
  const profile = await withMeter(address, options, terminal, async (meter) => {
    const [columnsRead, period, sort] = await meter.exchange(
      [3, 4, 5].map((id) => readOperation(object, id)),
    )
    const columns = decodeColumns(valueOf(columnsRead))
    const scalers = await scalersOf(meter, columns)
    const [buffer] = await meter.exchange([readOperation(object, 2, selectionOf(options, columns))])
    return readProfile(valueOf(buffer), scalers, {
      capturePeriodSeconds: numberOf(period),
      sortMethod: numberOf(sort),
    })
  })
  if (options.json) return terminal.out(JSON.stringify(profile))
  terminal.out(profile.names.join('\t'))
  for (const { cells } of profile.rows)
    terminal.out(
      cells
        .map(({ json, scaled }) => (scaled === undefined ? wordsOfJson(json) : scaledText(scaled)))
        .join('\t'),
    )
  for (const { path, problem, detail } of profile.notes)
    terminal.err(`note: ${path} ${problem} ${detail}`)
}

function numberOf(result: CosemResult | undefined): number | undefined {
  const value = result?.value && decodeValue(asBuffer(result.value))
  return value !== undefined && 'value' in value && typeof value.value === 'number'
    ? value.value
    : undefined
}

/** Columns with the scaler and unit of the register they come from; a meter that does not give one leaves them raw. */
async function scalersOf(
  meter: MeterAssociation,
  columns: readonly ProfileColumn[],
): Promise<ProfileColumn[]> {
  const asked = columns.filter(({ classId, attributeId }) => isScaled(classId, attributeId))
  if (asked.length === 0) return [...columns]
  const results = await meter.exchange(
    asked.map(({ classId, instanceId }) =>
      readOperation({ classId, instanceId }, scalerAttributeOf(classId)!),
    ),
  )
  const found = new Map<ProfileColumn, ScalerUnit | undefined>()
  for (const [index, column] of asked.entries()) {
    const value = results[index]?.value
    found.set(column, value && decodeScalerUnit(asBuffer(value)))
  }
  return columns.map((column) => ({ ...column, scalerUnit: found.get(column) }))
}

function selectionOf(
  { from, to, entries }: ProfileOptions,
  columns: readonly ProfileColumn[],
): Selection | undefined {
  if (entries !== undefined) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(entries)
    if (match === null) throw new BrokerError('CONFIG_INVALID', '--entries looks like 1-10 or 5')
    return rangeOfEntries(Number(match[1]), Number(match[2] ?? match[1]))
  }
  if (from === undefined && to === undefined) return undefined
  const clock = columns.find(({ classId }) => classId === 8)
  if (clock === undefined)
    throw new BrokerError('CONFIG_INVALID', 'the profile has no clock column: use --entries')
  const timeOf = (text: string | undefined, otherwise: number): number => {
    const ms = text === undefined ? otherwise : Date.parse(text)
    if (Number.isNaN(ms)) throw new BrokerError('CONFIG_INVALID', `${text} is no time in ISO 8601`)
    return ms
  }
  return rangeOfTimes(clock, timeOf(from, 0), timeOf(to, Date.now()))
}
