/** What is done with messages for which the ledger has no room, or too little of it. */
import { emptyBytes } from '../../../core/base/bytes.ts'
import { errorId } from '../../../core/base/error-table.ts'
import { readKind } from '../../../core/envelope/envelope.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import type { DeviceMessage } from '../../device/messages.ts'
import { refuse } from '../replies.ts'

/** True for something from outside to which nothing is owed yet: it is refused while the ledger is full. */
export function isNew(message: DeviceMessage): boolean {
  if (message.type === 'PUSH_OPENED') return true
  if (message.type !== 'ARRIVED') return false
  const kind = readKind(message.buffer, message.at)
  return kind === Kind.SERVICE_REQUEST || kind === Kind.DEVICE_PUSH
}

/** Refuses `message` when nothing is owed to it yet. @returns whether it did */
export function isRefusedForRoom(message: DeviceMessage, now: number): boolean {
  const isRefused = isNew(message)
  if (isRefused) refuse(message, 'BROKER_LEDGER_FULL', now)
  return isRefused
}

/**
 * What is left of a message that is too large for the ledger all by itself: an answer goes on as one that was too large; undefined for what
 * can only be refused; the message itself for what is small anyway.
 */
export function smallerOf(message: DeviceMessage): DeviceMessage | undefined {
  if (message.type === 'ARRIVED' || message.type === 'PUSH_OPENED') return undefined
  if (message.type !== 'ANSWERED' || message.bodyBytes.length === 0) return message
  return { ...message, outcome: errorId('DLMS_SIZE_EXCEEDED'), bodyBytes: emptyBytes }
}
