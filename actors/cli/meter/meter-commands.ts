/**
 * `busbar meter read | write | invoke | objects` (profile: meter-profile.ts): the DLMS client for
 * people, straight to a meter.
 */
import { asBuffer } from '../../../core/base/bytes.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { deviceProfileOf } from '../../../core/inventory/device-profiles.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue } from '../../../core/dlms/axdr/axdr.ts'
import {
  attributeOf,
  classOf,
  decodeObjectList,
  decodeShortNameList,
  decodeScalerUnit,
  findClass,
  invokeOperation,
  isScaled,
  methodOf,
  nameOfObis,
  readAttribute,
  readOperation,
  readReturn,
  scalerAttributeOf,
  usualClassOf,
  writeOperation,
  type CosemObject,
  type Json,
  type Scaled,
} from '../../../core/dlms/cosem/index.ts'
import type { CosemResult } from '../../../core/ports/wan.ts'
import { wordsOfJson } from './json-words.ts'
import { shortNamesOf } from '../../../core/wan/sockets/client-terms.ts'
import { clientOptionsOf, meterOf, publicOptionsOf, type Meter } from './meter-options.ts'
import type { MeterOptions } from './option-texts.ts'
import { MeterCall } from './meter-call.ts'
import type { MeterAssociation } from './meter-session.ts'
import { describeApdu } from './push-words.ts'

export type Terminal = { out: (line: string) => void; err: (line: string) => void }
/** Of one object, beside what says how the meter is reached. */
export type ObjectOptions = MeterOptions & { class?: string; attribute?: string; method?: string }

const associationList: CosemObject = { classId: 15, instanceId: '0-0:40.0.0.255' }
const shortNameList: CosemObject = { classId: 12, instanceId: '0-0:40.0.0.255' }
const dataClass = 1

/** Opens the meter, runs `action`, and leaves in order whatever happens. */
export async function withMeter<T>(
  where: string,
  options: MeterOptions,
  terminal: Terminal,
  action: (meter: MeterAssociation, asked: Meter) => Promise<T>,
): Promise<T> {
  // Faults in what was given are told before anybody is called.
  const asked = await meterOf(where, options)
  const call = new MeterCall(asked.place, {
    trace(direction, octetsView) {
      if (options.hex) terminal.err(`${direction} ${octetsView.toString('hex')}`)
    },
    pushed: (apdu) => terminal.err(`note: it sent meanwhile: ${describeApdu(apdu)}`),
  })
  const talk = async (counter: number): Promise<T> => {
    const session = await call.session()
    const meter = session.associate(clientOptionsOf(asked, counter))
    try {
      const result = await action(meter, asked)
      await meter.release()
      return result
    } catch (fault) {
      // The public client had the connection before: many meters keep one association on it, and
      // some do not forget it.
      if (call.isShared && !meter.isAccepted && fault instanceof BrokerError) {
        await call.hangUp()
        return talk(counter + 1)
      }
      throw withCounter(fault, meter.client.expectedCounter)
    }
  }
  try {
    return await talk(await counterFor(asked, call))
  } finally {
    await call.hangUp()
  }
}

/** What a meter said of the counter that it expects helps the person more than that it refused. */
function withCounter(fault: unknown, expected: number | undefined): unknown {
  if (expected === undefined || !(fault instanceof BrokerError)) return fault
  const told = `the meter says that it expects the counter ${expected}: give --counter ${expected}`
  return new BrokerError(fault.code, `${fault.detail ?? ''}; ${told}`, { cause: fault })
}

/**
 * The next counter to send with: as it was given, or one above what the meter tells its public
 * client.
 */
async function counterFor(asked: Meter, call: MeterCall): Promise<number> {
  const { address, counter, counterFloor, counterAt } = asked
  if (counter !== undefined) return counter
  if (address.security === undefined) return 1
  if (counterAt === undefined && address.counter?.initial !== undefined) return counterFloor
  if (counterAt === undefined)
    throw new BrokerError(
      'CONFIG_INVALID',
      'this profile tells no invocation counter: give --counter',
    )
  const asPublic = (await call.session()).associate(publicOptionsOf(asked), counterAt.client)
  const object = { classId: dataClass, instanceId: counterAt.obis }
  const [told] = await asPublic.exchange([readOperation(object, 2)])
  await asPublic.release()
  call.isShared = true
  if (deviceProfileOf(address.profile)?.isOneAssociation === true) await call.hangUp()
  const value = numberOf(told)
  if (value === undefined)
    throw new BrokerError(
      'DEVICE_ANSWER_INVALID',
      `the meter does not tell client ${counterAt.client} its invocation counter (${counterAt.obis}): give --counter`,
    )
  return Math.max(value + 1, counterFloor)
}

/** The octets of a result, or the refusal by name. @throws BrokerError DEVICE_REFUSED */
export function valueOf(result: CosemResult | undefined): Buffer {
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

export const scaledText = ({ decimal, unit }: Scaled): string =>
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
  const { objects, odd } = await withMeter(address, options, terminal, async (meter, asked) => {
    if (shortNamesOf(asked.address) === undefined) {
      const [listed] = await meter.exchange([readOperation(associationList, 2)])
      return decodeObjectList(valueOf(listed))
    }
    const [listed, rights] = await meter.exchange(
      [2, 3].map((id) => readOperation(shortNameList, id)),
    )
    // Versions before 1 have no list of rights.
    const rightsView = rights?.value === undefined ? undefined : asBuffer(rights.value)
    return decodeShortNameList(valueOf(listed), rightsView)
  })
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

/** A number that was read; undefined for another value, or a refusal. */
export function numberOf(result: CosemResult | undefined): number | undefined {
  const value = result?.value && decodeValue(asBuffer(result.value))
  return value !== undefined && 'value' in value && typeof value.value === 'number'
    ? value.value
    : undefined
}
