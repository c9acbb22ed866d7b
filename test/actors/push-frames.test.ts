/** What a host takes on its subject for pushes: pushes of devices and nothing else. */
import t from 'tap'
import { expectPush } from '../../actors/runtime/host/push-frames.ts'
import { parseEui64 } from '../../core/base/eui64.ts'
import type { Srv } from '../../core/base/srv.ts'
import { writeEnvelope } from '../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'

const device = parseEui64('00-DB-10-00-00-00-00-01')!

t.test('an envelope of any other kind is malformed there', async (t) => {
  for (const [name, kind] of Object.entries(Kind)) {
    const envelope = Buffer.alloc(headerBytes)
    writeEnvelope(
      envelope,
      0,
      {
        ...{ kind, lane: 0, srv: 0 as Srv, outcome: 0, bodyType: 0, attempt: 0 },
        ...{ originator: device, target: device, counter: 1n, time: 0, deadline: 0 },
        correlation: 0,
      },
      Buffer.alloc(0),
    )
    if (kind === Kind.DEVICE_PUSH) t.doesNotThrow(() => expectPush(envelope, 0))
    else t.throws(() => expectPush(envelope, 0), { code: 'ENVELOPE_MALFORMED' }, name)
  }
})
