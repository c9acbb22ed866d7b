/**
 * APDUs that meters with quirks send beside or instead of an answer: blocks that do not wait for
 * the client, notifications, blocks without content. Pure. [IEC 62056-5-3, General-Block-Transfer,
 * Data-Notification]
 */
import { ApduTag } from '../../../core/dlms/apdu/constants.ts'
import { encodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { BlockControl } from '../../../core/dlms/apdu/general-block-transfer.ts'
import type { DlmsServer } from '../../../core/dlms/server/server.ts'
import { allocateApdu } from '../../../core/dlms/framing/wrapper.ts'
import type { Quirks } from './quirk-table.ts'

const { LAST_BLOCK, STREAMING, WINDOW_MASK } = BlockControl

/** `answers` of a server with its general blocks as the meter sends them; changes them. */
export function withOddBlocks(
  answers: Buffer[],
  server: DlmsServer,
  kind: NonNullable<Quirks['blocks']>,
): Buffer[] {
  for (;;) {
    const last = answers.at(-1)
    if (last === undefined || !isUnfinishedBlock(last)) return answers
    // A window of one block is that of a client which has not named its window yet.
    if (kind === 'flood' || answers.length > 1) last[1]! |= STREAMING
    if (kind === 'streaming') return answers
    // The client's window is taken for empty: as if it had acknowledged what it has not.
    let next = server.receive(acknowledgementOf(last.readUInt16BE(2)))
    if (next === undefined) return answers
    for (; next !== undefined; next = server.more()) answers.push(next)
  }
}

/** A block with content behind which more come. */
const isUnfinishedBlock = (apdu: Buffer): boolean =>
  apdu[0] === ApduTag.GENERAL_BLOCK_TRANSFER && (apdu[1]! & LAST_BLOCK) === 0 && apdu[6] !== 0

function acknowledgementOf(number: number): Buffer {
  // Number 0 is below all that a client sends, so that its own numbers still fit.
  return block(LAST_BLOCK | WINDOW_MASK, 0, number)
}

function block(control: number, number: number, acknowledged: number): Buffer {
  const apdu = allocateApdu(7)
  apdu[0] = ApduTag.GENERAL_BLOCK_TRANSFER
  apdu[1] = control
  apdu.writeUInt16BE(number, 2)
  apdu.writeUInt16BE(acknowledged, 4)
  apdu[6] = 0
  return apdu
}

const noTime = Buffer.alloc(0)
const nullData = Buffer.of(0)

/** A data-notification without a time, whose value is null-data. */
export const emptyNotification = (invokeId: number): Buffer =>
  encodeApdu({
    type: 'data-notification',
    longInvokeIdAndPriority: invokeId,
    dateTimeView: noTime,
    valueView: nullData,
  })

/** Number `index`, from 1 on, of the APDUs that lead nowhere. */
export const uselessApdu = (kind: NonNullable<Quirks['uselessApdus']>, index: number): Buffer =>
  kind === 'notifications' ? emptyNotification(index & 0xff_ffff) : block(1, index & 0xffff, 0)
