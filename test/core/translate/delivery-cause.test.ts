/** A response whose envelope carries the cause of a failure in the place of a body. */
import t from 'tap'
import { errorId, explain } from '../../../core/base/error-table.ts'
import { causeBodyType, Kind, offsetOf } from '../../../core/envelope/layout.ts'
import { appendDelivery } from '../../../core/translate/delivery.ts'
import { ProtobufWriter } from '../../../core/translate/protobuf.ts'
import { ReceiveResponse } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { envelopeOf } from '../../support/envelopes.ts'

t.test('the message says why, and there is no body', async (t) => {
  const cause = 'DLMS_COUNTER_REPLAYED: 7 after 41 (counter received 7, counter expected 42)'
  const envelope = envelopeOf({ kind: Kind.RESPONSE, body: Buffer.from(cause) })
  envelope.writeUInt16BE(errorId('DEVICE_ANSWER_INVALID'), offsetOf.outcome)
  envelope.writeUInt16BE(causeBodyType, offsetOf.bodyType)
  const writer = new ProtobufWriter(1_024)
  appendDelivery(writer, 5, envelope, 0)
  const [delivery] = ReceiveResponse.decode(writer.take()).deliveries
  t.match(delivery, {
    deliveryId: 5n,
    content: {
      $case: 'response',
      value: {
        responseCode: 'E21',
        reason: 'DEVICE_ANSWER_INVALID',
        message: `${explain('DEVICE_ANSWER_INVALID')} Cause: ${cause}`,
        body: undefined,
      },
    },
  })
})
