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

export const dataNotification = service('data-notification', {
  longInvokeIdAndPriority,
  dateTimeView: octetString('date-time'),
  valueView: data,
})

export const dataNotificationConfirm = service('data-notification-confirm', {
  longInvokeIdAndPriority,
  dateTimeView: octetString('date-time'),
})

const plainTime = optional(octetString('date-time'))
/** One maker writes the time as Data, `09 0C …`: a tolerant reader takes it, since no flag of an OPTIONAL is 9. */
const time: Codec<Buffer | undefined> = {
  ...plainTime,
  read(reader) {
    if (!reader.isTolerant || reader.view[reader.at] !== Tag.OCTET_STRING)
      return plainTime.read(reader)
    reader.octet()
    return reader.octets(reader.length())
  },
}

export const eventNotificationRequest = service('event-notification-request', {
  timeView: time,
  descriptorView: attributeDescriptor,
  valueView: data,
})
