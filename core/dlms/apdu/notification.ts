/**
 * Unsolicited messages of meters.
 *
 *   data-notification [0F] = long invoke id and priority, date-time OCTET STRING, notification-body Data
 *   data-notification-confirm [10] = long invoke id and priority, date-time OCTET STRING
 *   event-notification-request [C2] = time OCTET STRING OPTIONAL, attribute, value Data
 *
 * An empty date-time means no time. [IEC 62056-5-3, Data-Notification, Data-Notification-Confirm,
 * Event-Notification-Request]
 */
import { Tag } from '../axdr/layout.ts'
import { ApduTag } from './constants.ts'
import { data, octetString, optional, service, type Codec, type Reader } from './grammar.ts'
import { retagBody } from '../unsolicited/untagged.ts'
import { attributeDescriptor, longInvokeIdAndPriority } from './parts.ts'

const dateTimeBytes = 12

/**
 * Two makers write the time as Data, `09 0C …`: a tolerant reader takes it, since no time has nine
 * octets and no flag of an OPTIONAL is 9.
 */
const orAsData = <T>(plain: Codec<T>): Codec<T | Buffer> => ({
  ...plain,
  read(reader) {
    const { view, at, isTolerant } = reader
    const isData = isTolerant && view[at] === Tag.OCTET_STRING && view[at + 1] === dateTimeBytes
    if (!isData) return plain.read(reader)
    reader.octet()
    return reader.octets(reader.length())
  },
  write: (out, value) => plain.write(out, value as T),
})

/**
 * True where a body may end: at the end of the octets, or in front of another APDU in the same
 * payload, perhaps behind an LLC header.
 */
const isBodyEnd = ({ view, end }: Reader, at: number): boolean =>
  at === end || view[at] === ApduTag.DATA_NOTIFICATION || (view[at] === 0xe6 && view[at + 2] === 0)

/**
 * A tolerant reader takes attributes without data tags, where the body is nothing else:
 * untagged.ts.
 */
const body: Codec<Buffer> = {
  ...data,
  read(reader) {
    if (!reader.isTolerant) return data.read(reader)
    const { view, at, end } = reader
    let fault: unknown
    try {
      const plain = data.read(reader)
      if (isBodyEnd(reader, reader.at)) return plain
    } catch (error) {
      fault = error
    }
    const retagged = retagBody(view, at, end)
    if (retagged !== undefined && isBodyEnd(reader, at + retagged.bytes)) {
      reader.at = at + retagged.bytes
      return retagged.valueBytes
    }
    if (fault !== undefined) throw fault
    return view.subarray(at, reader.at)
  },
}

export const dataNotification = service('data-notification', {
  longInvokeIdAndPriority,
  dateTimeView: orAsData(octetString('date-time')),
  valueView: body,
})

export const dataNotificationConfirm = service('data-notification-confirm', {
  longInvokeIdAndPriority,
  dateTimeView: octetString('date-time'),
})

export const eventNotificationRequest = service('event-notification-request', {
  timeView: orAsData(optional(octetString('date-time'))),
  descriptorView: attributeDescriptor,
  valueView: data,
})
