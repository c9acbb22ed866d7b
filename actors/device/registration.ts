/**
 * An operator registers the device, for the first time or with another record. Pure, a part of
 * actor.ts. What a registration changes becomes facts: the whole record in format 1 of a
 * deployment, which earlier versions read; each part that changes in format 2 (record-facts.ts).
 */
import type { Directory } from '../../core/access/directory.ts'
import { copyOf } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorId } from '../../core/base/error-table.ts'
import { readBodyView } from '../../core/envelope/envelope.ts'
import {
  decodeDeviceRecord,
  encodeDeviceRecord,
  sameAlertsTo,
  sameDescription,
  type DeviceRecord,
} from '../../core/inventory/device-record.ts'
import { formatWithMeterPoints, formatWithRecordParts } from '../../core/cluster/format.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { Arrived } from '../kind/messages.ts'
import type { DeviceOutbox } from './effects.ts'
import { decideLinks } from './links.ts'
import { bringingOf, isInDoubt, withKeys, withoutKeys } from './keyring.ts'
import { needsKeys } from './keys.ts'
import type { RecordFact } from './record-facts.ts'
import type { DeviceState } from './state.ts'

/** An envelope DEVICE_REGISTRATION: its body is the record. */
export function decideRegistration(
  state: DeviceState,
  message: Arrived,
  now: number,
  { format }: Directory,
  out: DeviceOutbox,
): void {
  const recordView = readBodyView(message.buffer, message.at)
  const read = recordIn(recordView)
  if (read === undefined) return refuse(out, message, 'DEVICE_RECORD_MALFORMED', now)
  const { sealedKeys, ...record } = read
  if (record.meterPoints !== undefined && format < formatWithMeterPoints)
    return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  const { keyring } = state
  const { address } = record
  const isWithoutKeys = sealedKeys === undefined && keyring?.current === undefined
  if (isWithoutKeys && needsKeys(address))
    return refuse(out, message, 'DEVICE_RECORD_MALFORMED', now)
  const bringing = sealedKeys && bringingOf(keyring, sealedKeys)
  const isDropping = !sealedKeys && !address.security && keyring?.current !== undefined
  if (bringing === 'underway' || (isDropping && isInDoubt(keyring)))
    return refuse(out, message, 'KEYS_REPLACEMENT_UNDERWAY', now)
  if (bringing === 'superseded') out.effects.push({ type: 'ALARM', code: 'KEYS_SUPERSEDED' })
  const isKeyChange = isDropping || bringing === 'new' || bringing === 'resealed'
  const change: Change = { before: state.record, record, isKeyChange, sealedKeys }
  if (format >= formatWithRecordParts) {
    out.facts.push(...partsOf(change, now))
    decideLinks(state, record.meterPoints ?? [], now, out)
  } else if (isChanged(change))
    out.facts.push({ type: 'DEVICE_REGISTERED', time: now, recordBytes: copyOf(recordView) })
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

type Change = {
  before: DeviceRecord | undefined
  /** Without its keys. */
  record: DeviceRecord
  isKeyChange: boolean
  sealedKeys: Buffer | undefined
}

const isDescribed = ({ before, record }: Change): boolean =>
  before !== undefined && sameDescription(before, record)
const isAddressed = ({ before, record }: Change): boolean => sameAlertsTo(before ?? {}, record)
const isChanged = (change: Change): boolean =>
  change.isKeyChange || !isDescribed(change) || !isAddressed(change)

/** The address first: the others belong to a device that is registered. */
function partsOf(change: Change, time: number): RecordFact[] {
  const { alertsTo, ...described } = change.record
  delete described.meterPoints
  const facts: RecordFact[] = []
  if (!isDescribed(change))
    facts.push({ type: 'DEVICE_ADDRESSED', time, recordBytes: encodeDeviceRecord(described) })
  if (change.isKeyChange)
    facts.push({
      type: 'DEVICE_KEYED',
      time,
      sealedKeys: change.sealedKeys && copyOf(change.sealedKeys),
    })
  if (!isAddressed(change))
    facts.push({ type: 'DEVICE_ALERTS_ADDRESSED', time, alertsTo: alertsTo ?? [] })
  return facts
}

function recordIn(view: Buffer): DeviceRecord | undefined {
  try {
    return decodeDeviceRecord(view)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}

/** Applies a fact of a registration. */
export function evolveRecord(state: DeviceState, fact: RecordFact): void {
  switch (fact.type) {
    case 'DEVICE_REGISTERED': {
      const { sealedKeys, ...record } = decodeDeviceRecord(fact.recordBytes)
      setRecord(state, record, fact.time)
      if (sealedKeys !== undefined) state.keyring = withKeys(state.keyring, sealedKeys)
      else if (record.address.security === undefined) state.keyring = withoutKeys(state.keyring)
      return
    }
    case 'DEVICE_ADDRESSED': {
      const { alertsTo, meterPoints } = state.record ?? {}
      const kept = { ...(alertsTo && { alertsTo }), ...(meterPoints && { meterPoints }) }
      return setRecord(state, { ...decodeDeviceRecord(fact.recordBytes), ...kept }, fact.time)
    }
    case 'DEVICE_KEYED': {
      const { sealedKeys } = fact
      state.keyring = sealedKeys ? withKeys(state.keyring, sealedKeys) : withoutKeys(state.keyring)
      return
    }
    case 'DEVICE_ALERTS_ADDRESSED': {
      if (state.record === undefined) return
      const { alertsTo } = fact
      state.record = { ...state.record, alertsTo }
      if (alertsTo.length === 0) delete state.record.alertsTo
    }
  }
}

function setRecord(state: DeviceState, record: DeviceRecord, time: number): void {
  if (state.record === undefined) state.registeredAt = time
  state.record = record
}
