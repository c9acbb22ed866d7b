/**
 * The body of DEVICE_PUSH: an unsolicited message of a device, on its way from the process that has
 * the connection to the device's actor.
 *
 *   protection u8 | key mark 16 | counter u32 | length of the alarm u8 | alarm | APDU
 *
 * Protection, mark and counter say what an association has opened it with; all zero where nothing
 * did. Key marks: core/crypto/sealed-keys.
 */
import { BrokerError } from '../base/broker-error.ts'
import { copyOf, latin1Of } from '../base/bytes.ts'
import { keyMarkBytes } from '../crypto/sealed-keys.ts'
import type { DevicePush } from '../ports/wan.ts'

export type PushContent = Pick<DevicePush, 'protection' | 'counter' | 'alarmBytes' | 'apduBytes'>

const counterAt = 1 + keyMarkBytes
const alarmAt = counterAt + 4 + 1
const noMark = '\0'.repeat(keyMarkBytes)

/** Octets of the body. */
export const pushBytesOf = ({ alarmBytes, apduBytes }: PushContent): number =>
  alarmAt + (alarmBytes?.length ?? 0) + apduBytes.length

/** In memory of its own. The alarm has at most 255 octets. */
export function encodePush(push: PushContent): Buffer {
  const { protection, counter, alarmBytes, apduBytes } = push
  const body = Buffer.alloc(pushBytesOf(push))
  body[0] = protection
  if (counter !== undefined) {
    body.write(counter.mark, 1, 'latin1')
    body.writeUInt32BE(counter.value, counterAt)
  }
  const alarmBytesCount = alarmBytes?.length ?? 0
  body[alarmAt - 1] = alarmBytesCount
  if (alarmBytes !== undefined) body.set(alarmBytes, alarmAt)
  body.set(apduBytes, alarmAt + alarmBytesCount)
  return body
}

/** What is in `view`, in memory of its own. @throws BrokerError ENVELOPE_MALFORMED */
export function decodePush(view: Buffer): PushContent {
  const apduAt = alarmAt + (view[alarmAt - 1] ?? 0)
  if (view.length < apduAt) throw new BrokerError('ENVELOPE_MALFORMED', 'a push that is cut short')
  const mark = latin1Of(view.subarray(1, counterAt))
  return {
    protection: view[0]!,
    counter: mark === noMark ? undefined : { mark, value: view.readUInt32BE(counterAt) },
    alarmBytes: apduAt === alarmAt ? undefined : copyOf(view.subarray(alarmAt, apduAt)),
    apduBytes: copyOf(view.subarray(apduAt)),
  }
}
