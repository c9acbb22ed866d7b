/**
 * What a meter sends unasked.
 *
 *   data-notification [0F] = long invoke id and priority, date-time OCTET STRING, notification-body Data
 *   data-notification-confirm [10] = long invoke id and priority, date-time OCTET STRING
 *   event-notification-request [C2] = time OCTET STRING OPTIONAL, attribute, value Data
 *
 * An empty date-time is none. [IEC 62056-5-3, Data-Notification, Data-Notification-Confirm, Event-Notification-Request]
 */
import { Tag } from '../axdr-layout.ts'
import { data, octetString, optional, service, type Codec } from './grammar.ts'
import { attributeDescriptor, longInvokeIdAndPriority } from './parts.ts'

const dateTimeBytes = 12

/** Two makers write the time as Data, `09 0C …`: a tolerant reader takes it, since no time has nine octets and no flag of an OPTIONAL is 9. */
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

export const dataNotification = service('data-notification', {
  longInvokeIdAndPriority,
  dateTimeView: orAsData(octetString('date-time')),
  valueView: data,
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
