/**
 * What stands in one payload of a push: as a rule one APDU; with some meters several, each perhaps
 * behind an LLC header of its own. What cannot be read behind the first is given back, so that it
 * can be counted and shown.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { anyApdu } from '../apdu/codec.ts'
import { Reader } from '../apdu/grammar.ts'
import { behindLlc } from '../framing/hdlc/transfer.ts'
import { isUnaskedApdu } from './push.ts'

/**
 * Views on the payload. `restView`: the octets behind the last APDU that are none; empty as a rule.
 */
export type PushPayload = { apduViews: Buffer[]; restView: Buffer }

/**
 * The APDUs in `view`, one after another. A payload whose first APDU cannot be read is one APDU,
 * whole: its decoder says what is wrong with it.
 */
export function readPushPayload(view: Buffer): PushPayload {
  const apduViews: Buffer[] = []
  let at = 0
  while (at < view.length) {
    const apduView = behindLlc(view.subarray(at))
    const isFirst = apduViews.length === 0
    const bytes = isFirst || isUnaskedApdu(apduView) ? apduBytesAt(apduView) : undefined
    if (bytes === undefined) {
      if (!isFirst) return { apduViews, restView: view.subarray(at) }
      return { apduViews: [apduView], restView: view.subarray(view.length) }
    }
    apduViews.push(apduView.subarray(0, bytes))
    at = view.length - apduView.length + bytes
  }
  return { apduViews, restView: view.subarray(at) }
}

/** Octets of the APDU at the start of `view`; undefined where none can be read. */
function apduBytesAt(view: Buffer): number | undefined {
  const reader = new Reader(view, { isTolerant: true })
  try {
    anyApdu.read(reader)
    return reader.at
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}
