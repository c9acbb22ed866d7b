/** The size of a tick: the index of a delivery within its frame has to fit the delivery id. */
import t from 'tap'
import { Tick } from '../../actors/runtime/partition/tick.ts'
import { limits } from '../../core/base/limits.ts'
import { deliveryIdOf, indexOf, sequenceOf } from '../../core/envelope/delivery-id.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import { deviceKey } from '../support/envelopes.ts'

t.test('a tick is full before a frame has more deliveries than their ids can tell apart', (t) => {
  const tick = new Tick()
  const [one, other] = [deviceKey(1), deviceKey(2)]
  const deliver = (party: typeof one): void =>
    tick.deliver(deviceKey(9), { party, receivedAt: 1, time: 1, bodyBytes: Buffer.alloc(0) })
  let count = 0
  while (!tick.isFullWith(0) && count <= limits.deliveriesPerFrameMax) {
    deliver(one)
    count++
    if (count % 3 === 0) deliver(other)
  }
  // One message more may end all that waits for a device.
  t.equal(count + limits.deviceOpenMax, limits.deliveriesPerFrameMax + 1)
  for (let ended = 0; ended < limits.deviceOpenMax - 1; ended++) deliver(one)
  let largest = 0
  for (const { frame } of tick.frames()) {
    let inFrame = 0
    forEachEnvelope(frame, 0, () => inFrame++)
    largest = Math.max(largest, inFrame)
  }
  t.equal(largest, limits.deliveriesPerFrameMax)
  const last = deliveryIdOf(7, largest - 1)
  t.same([sequenceOf(last), indexOf(last)], [7, largest - 1])
  t.not(last, deliveryIdOf(8, 0))
  t.end()
})
