/**
 * An operator looks at RequestCounters and resets them: what goes on from where, what stays known,
 * and what the ledger says of it.
 */
import { emptyDirectory } from '../../core/access/directory.ts'
import t from 'tap'
import { decide } from '../../actors/device/actor.ts'
import { readCounters } from '../../actors/device/counters-reset.ts'
import type { Acknowledge } from '../../actors/kind/effects.ts'
import type { DeviceOutbox } from '../../actors/device/effects.ts'
import { LedgerAudit, type AuditLine } from '../../actors/cli/operator/ledger-audit.ts'
import { packState } from '../../actors/device/state-codec.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { chainLinkBytes, FrameWriter, writeChainLink } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { writeTickMessage } from '../../core/envelope/tick-message.ts'
import { untrimmed } from '../../core/ports/snapshot.ts'
import { isWritten, writeFact } from '../../actors/device/facts.ts'
import { DeviceLife, lifeDevice } from '../support/device-life.ts'
import { deviceKey, envelopeOf, supplier } from '../support/envelopes.ts'

const remembered = limits.deviceRequestsRememberedMax + limits.deviceCountersRememberedMax
const stranger = deviceKey(99)

function reset(life: DeviceLife, counter: number | bigint, party = supplier, by = 'ann@ops') {
  return errorCodeOf(
    life.ask({ kind: Kind.COUNTERS_RESET, originator: party, counter, body: Buffer.from(by) })
      .outcome,
  )
}

function shown(life: DeviceLife, party: string = '\0'.repeat(8)) {
  const originator = party as typeof supplier
  const buffer = envelopeOf({ kind: Kind.COUNTERS_QUERY, device: lifeDevice, originator })
  const [effect] = life.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
  if (effect?.type !== 'REPORT') throw new Error('no counters')
  return readCounters(effect.bodyBytes)
}

/**
 * A device with a party whose first counter was a time, and which counts 1, 2, 3 … from then on,
 * until that has blocked it.
 */
function blocked(): DeviceLife {
  const life = new DeviceLife()
  const stray = BigInt(life.now) * 1_000_000n
  life.submit({ counter: stray })
  life.answer()
  for (let counter = 1; life.submit({ counter }) === 'REQUEST_ACCEPTED'; counter++) life.answer()
  return life
}

t.test(
  'a party that was blocked by one counter goes on after a reset, and is not blocked again',
  async (t) => {
    const life = blocked()
    const [before] = shown(life)
    t.equal(before?.floor, BigInt(life.now) * 1_000_000n)
    t.equal(life.submit({ counter: 5_000 }), 'REQUEST_COUNTER_STALE')
    t.equal(reset(life, 4_999), 'REQUEST_ACCEPTED')
    t.match(shown(life, supplier), [
      { party: supplier, highest: 4_999n, floor: 4_999n, past: limits.deviceCountersRememberedMax },
    ])
    const sentBefore = life.sent.length
    for (let counter = 5_000; counter < 5_000 + 2 * remembered; counter++) {
      if (life.submit({ counter }) !== 'REQUEST_ACCEPTED') t.fail(String(counter))
      life.answer()
      if (counter % 500 === 0) life.restart(counter % 1_000 === 0 ? 'store' : 'ledger')
    }
    t.equal(life.sent.length - sentBefore, 2 * remembered)
    t.equal(shown(life)[0]?.highest, BigInt(4_999 + 2 * remembered))
  },
)

t.test(
  'a counter that is set aside while it is remembered does not block when it is forgotten',
  async (t) => {
    const life = new DeviceLife()
    const stray = BigInt(life.now) * 1_000_000n
    life.submit({ counter: stray })
    life.answer()
    t.equal(reset(life, 0), 'REQUEST_ACCEPTED')
    t.equal(life.submit({ counter: stray }), 'REQUEST_ACCEPTED', 'it is known')
    t.equal(life.sent.length, 1)
    for (let counter = 1; counter <= remembered + 200; counter++) {
      if (life.submit({ counter }) !== 'REQUEST_ACCEPTED') t.fail(String(counter))
      life.answer()
    }
    const [after] = shown(life)
    t.ok(after!.floor < 300n, `floor ${after!.floor}`)
  },
)

t.test('what is remembered never runs twice after a reset, also across restarts', async (t) => {
  for (const from of ['store', 'ledger'] as const) {
    const life = new DeviceLife()
    for (let counter = 1; counter <= 300; counter++) {
      life.submit({ counter })
      life.answer()
    }
    life.submit({ counter: 301 })
    t.equal(reset(life, 0), 'REQUEST_ACCEPTED')
    life.restart(from)
    const runs = new Set(life.sent)
    const facts = life.facts.filter(({ type }) => type === 'REQUEST_ACCEPTED').length
    for (let counter = 1; counter <= 301; counter++) life.submit({ counter })
    t.equal(life.facts.filter(({ type }) => type === 'REQUEST_ACCEPTED').length, facts)
    t.same(new Set(life.sent), runs)
    t.equal(life.submit({ counter: 302 }), 'REQUEST_ACCEPTED')
    t.match(shown(life), [{ highest: 302n, floor: 0n, open: 2 }])
  }
})

t.test('a reset is replayed from the ledger as it was decided, and is decided once', async (t) => {
  const life = blocked()
  reset(life, 77)
  reset(life, 77)
  const resets = life.facts.filter(({ type }) => type === 'REQUEST_COUNTERS_RESET')
  t.equal(resets.length, 1, 'asked again it is as it was wanted')
  const packed = packState(life.state)
  life.restart('ledger')
  t.same(packState(life.state), packed)
  life.restart('store')
  t.same(packState(life.state), packed)
})

t.test(
  'resets that are refused: an unknown party, an unknown device, a counter or a name out of range',
  async (t) => {
    const life = blocked()
    t.equal(reset(life, 0, stranger), 'COUNTERS_PARTY_UNKNOWN')
    t.equal(reset(life, 2n ** 63n), 'VIEW_QUERY_INVALID')
    t.equal(
      reset(life, 0, supplier, 'x'.repeat(limits.operatorNameBytesMax + 1)),
      'VIEW_QUERY_INVALID',
    )
    t.same(shown(life, stranger), [])
    const out: DeviceOutbox = { facts: [], deliveries: [], effects: [] }
    const buffer = envelopeOf({ kind: Kind.COUNTERS_RESET, device: lifeDevice })
    const empty = { ...life.state, record: undefined }
    decide(
      empty,
      { type: 'ARRIVED', buffer, at: 0, replyTo: undefined },
      life.now,
      emptyDirectory,
      out,
    )
    t.equal(errorCodeOf((out.effects[0] as Acknowledge).outcome), 'DEVICE_UNKNOWN')
  },
)

t.test('the ledger says who reset what, from where and to where', async (t) => {
  const life = blocked()
  reset(life, 77, supplier, 'ann "the op"\n')
  const frame = new FrameWriter()
  frame.reserve(chainLinkBytes)
  for (const fact of life.facts.slice(-1)) if (isWritten(fact)) writeFact(frame, lifeDevice, fact)
  writeChainLink(frame.target, 0, { partition: 1, frameNumber: 1, previousHash: Buffer.alloc(32) })
  const lines: AuditLine[] = []
  const audit = new LedgerAudit(untrimmed, (line) => lines.push(line))
  const data = writeTickMessage([{ partition: 1, frame: frame.take() }], [])
  audit.readLines({ subject: 'log.a', sequence: 5, data } as never)
  t.match(lines, [
    {
      device: '00-DB-00-00-00-00-00-01',
      requestId: undefined,
      concerns: '90-B3-D5-1F-30-01-00-00:00-DB-00-00-00-00-00-01:',
      what: /^REQUEST_COUNTERS_RESET of 90-B3-D5-1F-30-01-00-00 from highest \d{19}, floor \d{19} to 77 by "ann \\"the op\\"\\n"$/,
    },
  ])
})
