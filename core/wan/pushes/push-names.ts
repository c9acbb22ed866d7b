/**
 * What the sender of an unsolicited message is called. Its system title where it ciphers, which is
 * its EUI-64 where devices have one; the identification that it sends in front; the octet-strings
 * in a notification that are names. Pure.
 * [IEC 62056-5-3, 4.3.4 system title; IEC 62056-6-2, Push setup: the logical device name as a rule stands first in what is pushed]
 */
import { limits } from '../../base/limits.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { eui64Bytes, readEui64, parseEui64, type Eui64 } from '../../base/eui64.ts'
import { decodeApdu } from '../../dlms/apdu/codec.ts'
import type { Apdu } from '../../dlms/apdu/codec.ts'
import { decodeValue, Tag, type AxdrValue } from '../../dlms/axdr/axdr.ts'
import type { Push } from '../../dlms/unsolicited/push.ts'
import { systemTitleOf } from '../../dlms/security/index.ts'

/**
 * The form in which names are compared: an EUI-64 as sixteen capital digits, however it was
 * written.
 */
export function nameOf(text: string): string {
  const eui64 = parseEui64(text)
  return eui64 === undefined ? text : eui64.toString('hex').toUpperCase()
}

/** The device of the first name that is known as one's, or that is an EUI-64. */
export function deviceNamed(
  names: readonly string[],
  known: (name: string) => Eui64 | undefined = () => undefined,
): Eui64 | undefined {
  for (const name of names) {
    const device = known(name)
    if (device !== undefined) return device
    const eui64 = parseEui64(name)
    if (eui64 !== undefined) return readEui64(eui64)
  }
  return undefined
}

/** Names in what came first on a connection, or in a datagram; most telling first. */
export function namesIn(push: Push): string[] {
  switch (push.kind) {
    case 'IDENTIFICATION':
      return [nameOf(push.identificationView.toString('latin1').trim())]
    case 'WRAPPER':
      return namesInApdu(push.frame.apduView)
    default:
      return namesInApdu(push.apduView)
  }
}

/** Names in an unsolicited APDU. Of what cannot be read, none. */
export function namesInApdu(apduView: Buffer): string[] {
  if (apduView.length === 0) return []
  try {
    return namesOf(decodeApdu(apduView, { isTolerant: true }))
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return []
  }
}

function namesOf(apdu: Apdu): string[] {
  switch (apdu.type) {
    case 'general-glo-ciphering':
    case 'general-ded-ciphering':
      return namesInTitle(apdu.systemTitleView)
    case 'general-ciphering':
    case 'general-signing':
      return namesInTitle(apdu.originatorSystemTitleView)
    case 'data-notification':
      return namesInValue(decodeValue(apdu.valueView))
    default:
      return []
  }
}

function namesInTitle(view: Buffer): string[] {
  const title = systemTitleOf(view)
  return title.length === eui64Bytes ? [title.toString('hex').toUpperCase()] : []
}

function namesInValue(value: AxdrValue): string[] {
  const isCompound = value.tag === Tag.STRUCTURE || value.tag === Tag.ARRAY
  const elements = isCompound ? value.elements.slice(0, limits.pushNameElementsMax) : [value]
  return elements.flatMap((element) => {
    if (element.tag !== Tag.OCTET_STRING && element.tag !== Tag.VISIBLE_STRING) return []
    const text = typeof element.value === 'string' ? element.value : latin1(element.value)
    const isName =
      text.length >= limits.pushNameBytesMin &&
      text.length <= limits.pushNameBytesMax &&
      /^[\x21-\x7e]+$/.test(text)
    return isName ? [nameOf(text)] : []
  })
}

const latin1 = (octets: Uint8Array): string => Buffer.from(octets).toString('latin1')
