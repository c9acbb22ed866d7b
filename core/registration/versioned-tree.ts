/**
 * MessagePack arrays with the version of their octets in front, as bodies and states of meter
 * points and of rights have them.
 */
import { Packr } from 'msgpackr'
import { BrokerError } from '../base/broker-error.ts'
import { copyOf } from '../base/bytes.ts'

const packr = new Packr({ useRecords: false })
const version = 1

/** `[version, ...members]`, in memory of its own. */
export const packTree = (...members: unknown[]): Buffer => copyOf(packr.pack([version, ...members]))

/**
 * What `read` makes of the members behind the version; `what` names it in faults.
 * @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED, also when `read` fails on members
 * that are not there
 */
export function readTree<T>(view: Uint8Array, what: string, read: (members: unknown[]) => T): T {
  try {
    const [found, ...members] = packr.unpack(view) as unknown[]
    if (typeof found === 'number' && found > version)
      throw new BrokerError('FORMAT_VERSION_LATER', `${what} of version ${found}, 1 is known`)
    if (found === version) return read(members)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    throw new BrokerError('ENVELOPE_MALFORMED', what, { cause })
  }
  throw new BrokerError('ENVELOPE_MALFORMED', what)
}
