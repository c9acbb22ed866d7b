/**
 * States as octets: what was packed comes back, also from the form that was written before ended
 * requests were a string.
 */
import { Packr } from 'msgpackr'
import t from 'tap'
import { evolve } from '../../actors/device/actor.ts'
import { endedRecordBytes, findEnded, packEnded } from '../../actors/device/ended-requests.ts'
import { findPast } from '../../actors/device/past-counters.ts'
import { emptyState } from '../../actors/device/state.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { emptyBytes, writeOctetsOf } from '../../core/base/bytes.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { Lane } from '../../core/base/lane.ts'
import { limits } from '../../core/base/limits.ts'
import { parseSrv } from '../../core/base/srv.ts'
import { encodeDeviceRecord } from '../../core/inventory/device-record.ts'
import { plainRecord, supplier } from '../support/envelopes.ts'

const rememberedMax = limits.deviceRequestsRememberedMax

function counterOf(number: number): RequestCounter {
  const octets = Buffer.alloc(8)
  octets.writeUInt32BE(number, 4)
  return readRequestCounter(octets)
}

/** A device that has ended the requests `first` to `count`, at the times of their numbers. */
function aged(count: number, first = 1) {
  const state = emptyState()
  evolve(state, {
    type: 'DEVICE_REGISTERED',
    time: 1,
    recordBytes: encodeDeviceRecord(plainRecord),
  })
  for (let number = first; number <= count; number++) {
    const id = { originator: supplier, counter: counterOf(number) }
    evolve(state, {
      type: 'REQUEST_ACCEPTED',
      request: {
        ...id,
        lane: Lane.NORMAL,
        srv: parseSrv('4.1.1')!,
        bodyType: 0,
        contentHash: number,
        acceptedAt: number,
        deadline: 1e12,
        attempt: 0,
        nextAttemptAt: 0,
        lastOutcome: 0,
        bodyBytes: emptyBytes,
      },
    })
    evolve(state, { type: 'REQUEST_ENDED', ...id, time: number, outcome: number, attempt: 1 })
  }
  return state
}

t.test('a state comes back, whatever the device remembers', async (t) => {
  for (const count of [0, 1, 5, rememberedMax, rememberedMax + 6, rememberedMax * 4]) {
    const state = aged(count)
    const packed = packState(state)
    t.strictSame(unpackState(packed), state, `${count} ended`)
    t.strictSame(packState(unpackState(packed)), packed, 'and is packed the same')
  }
})

t.test(
  'ended requests are found by their RequestID, and by nothing that looks like it',
  async (t) => {
    const state = aged(rememberedMax + 6)
    const { past } = state
    const made = limits.deviceCountersPerChunk
    t.equal(findEnded(state, supplier, counterOf(made)), undefined, 'made room')
    t.same(
      findPast(past, supplier, counterOf(made)),
      { contentHash: made, acceptedAt: made },
      'its RequestID is left',
    )
    t.equal(findPast(past, supplier, counterOf(made + 1)), undefined)
    for (const number of [made + 1, 40, rememberedMax + 6])
      t.match(findEnded(state, supplier, counterOf(number)), { endedAt: number, outcome: number })
    // Sixteen octets from the middle of a record.
    const across = packEnded(state)
      .toString('latin1')
      .slice(endedRecordBytes + 20, endedRecordBytes + 36)
    const [originator, counter] = [across.slice(0, 8), across.slice(8)]
    t.equal(findEnded(state, originator as typeof supplier, counter as RequestCounter), undefined)
  },
)

t.test('states of before: a ring with its oldest in the middle, or with room behind', async (t) => {
  // What older versions kept of `count` ends: the last ones, and a floor for those before.
  const keptOf = (count: number) => {
    const first = Math.max(1, count - rememberedMax + 1)
    const state = aged(count, first)
    if (first > 1) state.originators[0]!.floor = counterOf(first - 1)
    return { ...state, registeredAt: 0 }
  }
  const older = (count: number, capacity: number): Buffer => {
    const ring = Buffer.alloc(capacity * endedRecordBytes)
    const { originators: knownOriginators } = keptOf(count)
    const ended = packEnded(keptOf(count))
    const kept = ended.length / endedRecordBytes
    for (let index = 0; index < kept; index++) {
      const number = count - kept + index
      const record = ended.subarray(index * endedRecordBytes)
      record.copy(ring, (number % rememberedMax) * endedRecordBytes, 0, endedRecordBytes)
    }
    const key = (text: string): Buffer => {
      const octets = Buffer.alloc(8)
      writeOctetsOf(text, octets, 0)
      return octets
    }
    const [known] = knownOriginators
    const originators =
      known === undefined
        ? []
        : [
            [
              key(known.key),
              key(known.highest),
              known.floor === undefined ? null : key(known.floor),
            ],
          ]
    const record = encodeDeviceRecord(plainRecord)
    const nextIndex = count % rememberedMax
    return new Packr({ useRecords: false }).pack([
      1,
      record,
      [],
      ring,
      kept,
      nextIndex,
      originators,
    ])
  }
  for (const [count, capacity] of [
    [3, 4],
    [rememberedMax, rememberedMax],
    [rememberedMax + 6, rememberedMax],
  ] as const)
    t.strictSame(unpackState(older(count, capacity)), keptOf(count))
})
