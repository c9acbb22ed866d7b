/**
 * Every array that Busbar writes begins with its version as u16: `9x | cd u16 version`. A later one
 * is told from octets that are damaged, so that nobody takes what a later version has written for
 * damage, or for nothing.
 */
import { BrokerError } from '../base/broker-error.ts'

/** @throws BrokerError FORMAT_VERSION_LATER when an array of a later version stands at `at` */
export function checkVersion(view: Uint8Array, at: number, known: number, what: string): void {
  const isArray = at + 4 <= view.length && view[at]! >> 4 === 9 && view[at + 1] === 0xcd
  if (!isArray) return
  const version = view[at + 2]! * 256 + view[at + 3]!
  if (version > known && version <= versionMax)
    throw new BrokerError(
      'FORMAT_VERSION_LATER',
      `${what} of version ${version}, ${known} is known here`,
    )
}

/** Above it the octets are no version but damage. */
const versionMax = 64

/** True for a fault of which nobody must go on reading, and nothing is damaged. */
export const isLaterVersion = (fault: unknown): fault is BrokerError =>
  fault instanceof BrokerError && fault.code === 'FORMAT_VERSION_LATER'
