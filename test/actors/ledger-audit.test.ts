/**
 * The audit of a ledger: an octet that was changed is found by the chain and named, and the other
 * partitions are judged all the same.
 */
import t from 'tap'
import { auditOf, verify } from '../../actors/cli/operator/ledger-commands.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { deviceKey } from '../support/envelopes.ts'
import { good, pass, World } from '../support/world.ts'

t.test('a flipped octet is named, whichever it is, and stops no other partition', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(12)
  for (let index = 0; index < 12; index++)
    t.equal(await world.submit({ device: deviceKey(index), counter: 1 }), 'REQUEST_ACCEPTED')
  await pass(world, () => world.deliveries().length === 12)
  const whole = await auditOf(world.ledger)
  t.same(whole.faults, [])
  t.equal(whole.accepted, 12)
  t.equal(whole.ended, 12)
  t.equal(Object.keys(whole.chains).length, 4)

  const tick = world.ledger.all().find(({ subject }) => subject.startsWith('log.'))!
  let frames = 0
  readTickMessage(tick.data, () => frames++, undefined)
  for (let at = 40; at < tick.data.length; at += 97) {
    tick.data[at]! ^= 4
    const said: string[] = []
    t.equal(await verify(world.ledger, (line) => void said.push(line), false), 1, `octet ${at}`)
    t.match(said[0], /^FAULT {2}(partition \d+, )?sequence \d+: (LEDGER|FRAME|ENVELOPE)_/)
    const { chains } = await auditOf(world.ledger)
    t.ok(Object.keys(chains).length >= 4 - frames, 'the others are read to their end')
    tick.data[at]! ^= 4
  }
  t.same((await auditOf(world.ledger)).faults, [])
})
