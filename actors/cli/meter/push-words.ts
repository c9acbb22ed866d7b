/**
 * What an unsolicited APDU says, for people and for scripts: kind, time, and its fields in words
 * where the content shows what they are.
 */
import { asBuffer } from '../../../core/base/bytes.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { anyApdu, type Apdu } from '../../../core/dlms/apdu/codec.ts'
import { Reader } from '../../../core/dlms/apdu/grammar.ts'
import { objectName, type VariableAccess } from '../../../core/dlms/apdu/short-name.ts'
import { decodeValue, encodeValue } from '../../../core/dlms/axdr/axdr.ts'
import {
  labelledValues,
  nameOfObis,
  rawJson,
  readAttribute,
  textOfDateTime,
  type Json,
  type LabelledValue,
  type PushObject,
} from '../../../core/dlms/cosem/index.ts'
import { decodeDescriptor } from '../../../core/dlms/apdu/descriptor.ts'
import { readPushPayload } from '../../../core/dlms/unsolicited/push-payload.ts'
import { readTelegram, type Telegram } from '../../../core/dlms/unsolicited/telegram.ts'
import { wordsOfJson } from './json-words.ts'

/**
 * `member` is the class and attribute, where the push says it; `variable` the short name, where it
 * has no other.
 */
export type PushField = {
  variable?: string
  obis?: string
  name?: string
  member?: string
  value: Json
  unit?: string
}

export type PushContent = {
  type: Apdu['type'] | 'telegram'
  /** As the meter wrote it; absent where it gave none. */
  time?: string
  fields: PushField[]
  /** Of a telegram: what its checksum says. */
  checksum?: Telegram['checksum']
  /** Octets behind the APDU, which the standard knows nothing of, in hexadecimal digits. */
  trailing?: string
}

/**
 * What the APDUs in `plain` say, one as a rule; or a telegram of text. Octets behind them stand
 * with the last.
 * @throws BrokerError as `contentOf`
 */
export function contentsOf(plain: Buffer): PushContent[] {
  const telegram = readTelegram(plain)
  if (telegram !== undefined) return [telegramContent(telegram)]
  const { apduViews, restView } = readPushPayload(plain)
  const contents = apduViews.map(contentOf)
  if (restView.length === 0) return contents
  const last = contents.pop()!
  return [...contents, { ...last, trailing: restView.toString('hex') }]
}

function telegramContent({ identification, lines, checksum }: Telegram): PushContent {
  const fields = lines.map(({ text, obis, values }) =>
    obis === undefined
      ? { value: text }
      : { obis, name: nameOfObis(obis), value: values.join(', ') },
  )
  const name = identification === undefined ? [] : [{ value: identification }]
  return { type: 'telegram', fields: [...name, ...fields], checksum }
}

/** What `apdu`, in the clear, says. @throws BrokerError as `decodeApdu`, `decodeValue` */
export function contentOf(apdu: Buffer): PushContent {
  const reader = new Reader(apdu, { isTolerant: true })
  const content = contentIn(anyApdu.read(reader))
  return reader.left === 0 ? content : { ...content, trailing: apdu.toString('hex', reader.at) }
}

function contentIn(decoded: Apdu): PushContent {
  const { type } = decoded
  if (type === 'data-notification')
    return {
      type,
      ...timeIn(decoded.dateTimeView),
      fields: labelledValues(decodeValue(decoded.valueView)).map(fieldOf),
    }
  if (type === 'event-notification-request')
    return {
      type,
      ...timeIn(decoded.timeView),
      fields: [attributeField(decoded.descriptorView, decoded.valueView)],
    }
  if (type === 'information-report-request') {
    const { currentTimeView, specifications, dataViews } = decoded
    return {
      type,
      // A GeneralizedTime, which is text.
      ...(currentTimeView && { time: currentTimeView.toString('latin1') }),
      fields: dataViews.map((view, i) => variableField(specifications[i], view)),
    }
  }
  return { type, fields: [] }
}

/** What a short name stands for only the meter's object list says. */
function variableField(specification: VariableAccess | undefined, valueView: Buffer): PushField {
  const value = rawJson(decodeValue(valueView))
  return specification !== undefined && 'variableName' in specification
    ? { variable: objectName.show!(specification.variableName), value }
    : { value }
}

function timeIn(view: Buffer | undefined): { time?: string } {
  return view === undefined || view.length === 0 ? {} : { time: textOfDateTime(view) }
}

function attributeField(descriptorView: Buffer, valueView: Buffer): PushField {
  const { classId, instanceId, memberId } = decodeDescriptor(descriptorView)
  return attributeFieldOf({ classId, obis: instanceId, attributeId: memberId }, asBuffer(valueView))
}

function attributeFieldOf(
  { classId, obis, attributeId }: PushObject,
  valueView: Buffer,
): PushField {
  const { className, name, json } = readAttribute({ classId }, attributeId, valueView)
  return { obis, name: nameOfObis(obis), member: `${className} ${name}`, value: json }
}

function fieldOf({ obis, object, value, scaled }: LabelledValue): PushField {
  if (object !== undefined) return attributeFieldOf(object, encodeValue(value))
  return {
    ...(obis !== undefined && { obis, name: nameOfObis(obis) }),
    value: scaled?.decimal ?? rawJson(value),
    ...(scaled !== undefined && scaled.unit !== '' && { unit: scaled.unit }),
  }
}

/** The same in words: kind, time, fields. */
export function wordsOf({ type, time, fields, checksum, trailing }: PushContent): string[] {
  const words = fields.map(({ variable, obis, name, member, value, unit }) => {
    const of = member === undefined ? '' : ` ${member}`
    const short = variable === undefined ? '' : `variable ${variable}: `
    const label = obis === undefined ? short : `${name} (${obis})${of}: `
    return `${label}${wordsOfJson(value)}${unit === undefined ? '' : ` ${unit}`}`
  })
  return [
    type,
    ...(time === undefined ? [] : [time]),
    ...(words.length > 0 ? [words.join('; ')] : []),
    ...(checksum === undefined || checksum === 'absent' ? [] : [`checksum ${checksum}`]),
    ...(trailing === undefined ? [] : [`behind it, not understood: ${trailing}`]),
  ]
}

/** `apdu` in words, or why it has none. */
export function describeApdu(apdu: Buffer): string {
  try {
    return wordsOf(contentOf(apdu)).join('  ')
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return `${apdu.toString('hex')}: ${error.message}`
  }
}
