/**
 * Ended requests of a device: each one is found until it is forgotten, and an end makes one short
 * string.
 */
import t from 'tap'
import {
  addEnded,
  endedCountOf,
  endedRecordBytes,
  findEnded,
  lastEnded,
  noneEnded,
  packEnded,
  unpackEnded,
  type Ended,
} from '../../actors/device/ended-requests.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import type { Srv } from '../../core/base/srv.ts'

const partiesCount = 3
const parties = Array.from({ length: partiesCount }, (_, i) => readEui64(Buffer.alloc(8, 0xf0 + i)))
const max = limits.deviceRequestsRememberedMax
const perChunk = limits.deviceCountersPerChunk

function endOf(number: number): Ended {
  const octets = Buffer.alloc(8)
  octets.writeUInt32BE(number, 4)
  return {
    originator: parties[number % partiesCount]!,
    counter: readRequestCounter(octets),
    contentHash: 0xffff_ffff - number,
    srv: (number * 65_537) as Srv,
    acceptedAt: 1_700_000_000_000 + number,
    endedAt: 1_700_000_000_500.25 + number,
    outcome: number % 65_536,
    attempt: 65_535 - number,
  }
}

t.test('what has ended is known until there is no room for it', async (t) => {
  const state = { ...noneEnded }
  t.equal(lastEnded(state), undefined)
  t.equal(packEnded(state).length, 0)
  let first = 1
  for (let number = 1; number <= 5 * max; number++) {
    const forgotten = addEnded(state, endOf(number))
    if (forgotten.length > 0) {
      t.equal(number - first, max, 'there was no room')
      const expected = Array.from({ length: perChunk }, (_, i) => endOf(first + i))
      t.strictSame(forgotten, expected, 'whole chunks are forgotten, oldest first')
      first += perChunk
    }
    t.match(endOf(number), lastEnded(state), 'the last one is as it ended')
    const packed = packEnded(state)
    if (packed.length !== (number + 1 - first) * endedRecordBytes) t.fail(`${number}: a record`)
    for (let known = Math.max(1, first - 3); known <= number + 1; known++) {
      const { originator: by, counter: of, ...end } = endOf(known)
      const isKnown = known >= first && known <= number
      const found = findEnded(state, by, of)
      if (isKnown ? found?.endedAt !== end.endedAt : found !== undefined)
        t.fail(`${known} after ${number}`)
    }
    const counted = parties.map((party) => endedCountOf(state, party))
    t.equal(
      counted.reduce((sum, count) => sum + count),
      number + 1 - first,
    )
    t.strictSame(unpackEnded(packed), state, 'comes back as it was')
  }
})

t.test('an end makes a string of a few records, however many are remembered', async (t) => {
  const state = { ...noneEnded }
  let made = 0
  let lists = 0
  for (let number = 1; number <= 10 * max; number++) {
    const { endedParts } = state
    addEnded(state, endOf(number))
    made += state.ended.length
    if (state.endedParts !== endedParts) lists += state.endedParts.length
  }
  t.ok(made / (10 * max) <= 5 * endedRecordBytes, `${made / (10 * max)} octets for each end`)
  t.ok(lists / (10 * max) <= 1, 'and lists of older ones are made rarely')
})

t.test('none is shared with the states that begin with it', async (t) => {
  const state = { ...noneEnded }
  addEnded(state, endOf(1))
  t.same(noneEnded, { ended: '', endedParts: [] })
})
