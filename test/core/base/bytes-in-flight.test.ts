/**
 * The count of bytes in flight: what each of its three limits holds back, and that the counts are
 * the sums of what is held whatever order messages grow and end in. No sockets: the doors have
 * those.
 */
import fc from 'fast-check'
import t from 'tap'
import { readEui64, parseEui64 } from '../../../core/base/eui64.ts'
import {
  BytesInFlight,
  ConnectionBytes,
  type BytesHeld,
} from '../../../core/base/bytes-in-flight.ts'

const [one, other] = ['90b3d51f30010000', '90b3d51f30020000'].map((text) =>
  readEui64(parseEui64(text)!),
) as [ReturnType<typeof readEui64>, ReturnType<typeof readEui64>]

t.test('a message counts on its connection, its party and the process', (t) => {
  const bytes = new BytesInFlight({ connection: 100, party: 150, process: 200 })
  const [a, b, c] = [new ConnectionBytes(), new ConnectionBytes(), new ConnectionBytes()]
  const first = bytes.begin(a, one)
  t.equal(first.grow(60), undefined)
  t.equal(first.grow(40), undefined, 'up to the limit')
  t.equal(first.grow(1), 'connection')
  t.same([first.bytes, a.used, bytes.usedBy(one), bytes.used], [100, 100, 100, 100])
  const second = bytes.begin(b, one)
  t.equal(second.grow(51), 'party')
  t.equal(second.grow(50), undefined, 'a rejected growth counts nothing')
  const third = bytes.begin(b, other)
  t.equal(third.grow(50), undefined)
  t.equal(bytes.begin(c, other).grow(1), 'process')
  t.equal(bytes.begin(c).grow(1), 'process', 'also of a message without a party')
  first.release()
  first.release()
  t.same([a.used, bytes.usedBy(one), bytes.used], [0, 50, 100], 'released once')
  t.throws(() => first.grow(1), 'a released message does not grow')
  second.release()
  third.release()
  t.same([b.used, bytes.usedBy(one), bytes.usedBy(other), bytes.used], [0, 0, 0, 0])
  t.end()
})

t.test('the limit of a party does not hold for messages without one', (t) => {
  const bytes = new BytesInFlight({ connection: 100, party: 10, process: 200 })
  t.equal(bytes.begin(new ConnectionBytes()).grow(100), undefined)
  t.end()
})

t.test('whatever grows and ends, the three counts are the sums of what is held', (t) => {
  const max = { connection: 50, party: 80, process: 120 }
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          connection: fc.nat(2),
          party: fc.option(fc.nat(1), { nil: undefined }),
          message: fc.nat(5),
          step: fc.constantFrom('grow', 'grow', 'shrink', 'release'),
          bytes: fc.nat(60),
        }),
        { maxLength: 60 },
      ),
      (steps) => {
        const bytes = new BytesInFlight(max)
        const connections = [0, 1, 2].map(() => new ConnectionBytes())
        const messages = new Map<number, { held: BytesHeld; connection: number; party?: number }>()
        for (const { connection, party, message, step, bytes: count } of steps) {
          const open = messages.get(message)
          if (step === 'release') {
            open?.held.release()
            open?.held.shrink(count)
            messages.delete(message)
            continue
          }
          const key = party === undefined ? undefined : [one, other][party]
          const held = open?.held ?? bytes.begin(connections[connection]!, key)
          if (!open)
            messages.set(message, { held, connection, ...(party !== undefined && { party }) })
          if (step === 'grow') held.grow(count)
          else held.shrink(Math.min(count, held.bytes))
          const sum = (of: (m: { connection: number; party?: number }) => boolean): number =>
            [...messages.values()].filter(of).reduce((total, m) => total + m.held.bytes, 0)
          connections.forEach((c, i) => {
            if (c.used !== sum((m) => m.connection === i) || c.used > max.connection)
              throw new Error('connection')
          })
          for (const [i, p] of [one, other].entries())
            if (bytes.usedBy(p) !== sum((m) => m.party === i) || bytes.usedBy(p) > max.party)
              throw new Error('party')
          if (bytes.used !== sum(() => true) || bytes.used > max.process) throw new Error('process')
        }
      },
    ),
  )
  t.end()
})
