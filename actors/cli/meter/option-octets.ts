/**
 * Octets as people write them on a command line: system titles, keys. Faults show nothing of what
 * was written.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { systemTitleBytes } from '../../../core/dlms/security/suite.ts'
import { SecretKey } from '../../../core/crypto/crypto.ts'
import { hexIn } from './hex-digits.ts'

/** The octets of hexadecimal digits. @throws BrokerError CONFIG_INVALID, as those below */
export function octetsIn(text: string, what: string): Buffer {
  const octets = hexIn(text)
  if (octets === undefined)
    throw new BrokerError('CONFIG_INVALID', `${what} must be pairs of hexadecimal digits`)
  return octets
}

export function titleIn(text: string, what: string): Buffer {
  const title = octetsIn(text, what)
  if (title.length !== systemTitleBytes)
    throw new BrokerError('CONFIG_INVALID', `${what} has eight octets`)
  return title
}

/** A key of one of these lengths, octets. */
export function keyIn(text: string, what: string, lengths: readonly number[]): SecretKey {
  const octets = octetsIn(text, what)
  const key = lengths.includes(octets.length) ? SecretKey.of(octets) : undefined
  if (key === undefined)
    throw new BrokerError('CONFIG_INVALID', `${what} has ${lengths.join(' or ')} octets`)
  return key
}
