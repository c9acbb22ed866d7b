/**
 * Every meter of another maker that the simulator imitates, through the pool: reached with nothing
 * but its record, over several exchanges and connections, or given up in time with the reason.
 */
import t, { type Test } from 'tap'
import type { FleetOptions } from '../../../actors/simulator/network/fleet.ts'
import { quirkNames, type QuirkName } from '../../../actors/simulator/quirks/quirk-table.ts'
import { makeQuirks } from '../../../actors/simulator/quirks/quirks.ts'
import { decodeValue } from '../../../core/dlms/axdr/axdr.ts'
import { encodeSelection } from '../../../core/dlms/apdu/descriptor.ts'
import { cosemDateTimeBytes, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { Mechanism } from '../../../core/dlms/security/index.ts'
import type { CosemOperation } from '../../../core/ports/wan.ts'
import { FleetTrial, isItself, listed, profile, sharesOf } from './fleet-trial.ts'

type Case = {
  /** Beside one meter under suite 0. */
  fleet?: Partial<FleetOptions>
  /** What the second exchange asks; what the first did when left out. */
  operations?: readonly CosemOperation[]
  /** Joined to it with `+`. */
  with?: QuirkName
}

const open: Partial<FleetOptions> = { securityShares: [0, 0, 0] }
const hdlc: Partial<FleetOptions> = { transport: 'hdlc' }
const dateTime = (utcMs: number): Buffer => {
  const octets = Buffer.alloc(cosemDateTimeBytes)
  writeCosemDateTime(octets, 0, utcMs)
  return octets
}
const dayMs = 86_400_000
const today = Math.floor(Date.now() / dayMs) * dayMs
/** Half hours of a day, more than an APDU of 256 octets takes. */
const dayOfRows: CosemOperation = {
  ...profile,
  selection: encodeSelection({
    type: 'range',
    restricting: { classId: 8, instanceId: '0-0:1.0.0.255', attributeId: 2, dataIndex: 0 },
    from: { tag: 9, value: dateTime(today - dayMs) },
    to: { tag: 9, value: dateTime(today) },
    columns: [],
  }),
}
const rows = [listed[0]!, dayOfRows]

/** Reached as its record says, with no more said. */
const reached: Partial<Record<QuirkName, Case>> = {
  'one-association': {},
  'one-association-misaddressed': {},
  'one-client': {},
  'closed-after-release': {},
  'clear-release': {},
  'protected-release': {},
  'counter-advanced': {},
  'counter-restarted-at-power-up': {},
  'counter-for-settings': {},
  'counter-elsewhere': {},
  'counter-untold': {},
  'refusal-exception': { with: 'counter-advanced' },
  'refusal-plain-exception': { with: 'counter-advanced' },
  'refusal-aare': { with: 'counter-advanced' },
  'refusal-close': { with: 'counter-advanced' },
  'refusal-silence': { with: 'counter-advanced' },
  'proof-under-global-key': {},
  'proof-without-ciphering': {},
  'short-names-only': { fleet: open },
  'no-selective-access': { fleet: open },
  'no-general-blocks': { fleet: open, operations: rows },
  'block-flood': { operations: rows },
  'block-streaming': { operations: rows },
  'range-ignored': { fleet: open },
  'range-deviation-refused': { fleet: open },
  'local-time': { fleet: open },
  'local-time-unmarked': { fleet: open },
  'local-standard-time': { fleet: open },
  'clock-nested': { fleet: open },
  'notifications-first': {},
  'empty-frames': {},
  'hdlc-without-llc': { fleet: hdlc },
  'hdlc-llc-of-client': { fleet: hdlc },
  'mode-e': { fleet: hdlc },
}
/** Not to be reached: what the failure is, and what its detail says. */
type Loss = { code: string; detail: RegExp; fleet?: Partial<FleetOptions> }
const lost: Partial<Record<QuirkName, Loss>> = {
  'closed-on-aarq': { code: 'DEVICE_SILENT', detail: /closed by the device/ },
  'useless-notifications': { code: 'DEVICE_SILENT', detail: /./, fleet: open },
  'useless-blocks': { code: 'DEVICE_SILENT', detail: /./, fleet: open },
}
/** Refused rightly: see below. */
const others: QuirkName[] = ['counter-restarted']

const start = (t: Test, quirks: string, fleet: Partial<FleetOptions> = {}, responseMs = 1_000) =>
  FleetTrial.start(
    t,
    {
      meters: 1,
      metersPerListener: 1,
      securityShares: sharesOf(0),
      quirks: [makeQuirks(quirks)],
      ...fleet,
    },
    { responseMs, releaseMs: 1_000, exchangeMs: 5_000 },
  )

t.test('every quirk has its case', async (t) => {
  t.same(
    new Set([...Object.keys(reached), ...Object.keys(lost), ...others]),
    new Set<string>(quirkNames),
  )
})

for (const [name, { fleet, operations = listed, with: second }] of Object.entries(reached))
  t.test(`${name}: reached`, async (t) => {
    const trial = await start(t, second === undefined ? name : `${second}+${name}`, fleet)
    isItself(t, 0, await trial.ask(0, listed), 'first')
    // Again on the same association, and on new connections: another client may have moved the
    // counter since.
    for (let round = 0; round < 4; round++) {
      const result = await trial.ask(0, operations)
      isItself(t, 0, result, `round ${round}`)
      if (operations === rows && result.ok) {
        const value = decodeValue(Buffer.from(result.results[1]!.value!))
        t.equal((value as { elements: unknown[] }).elements.length, 49)
      }
      if (round % 2 === 1) trial.fleet.cutConnections()
    }
  })

for (const [name, { fleet, ...failure }] of Object.entries(lost))
  t.test(`${name}: given up in time`, async (t) => {
    const trial = await start(t, name, fleet)
    const result = await trial.ask(0, listed)
    t.match(result, { ok: false, ...failure })
  })

t.test('counter-restarted: refused as a replay, unless its record says so', async (t) => {
  const trial = await start(t, 'counter-restarted')
  const { profile: told, ...unsaid } = trial.addressOf(0)
  t.equal(told, 'counter-restarts')
  isItself(t, 0, await trial.ask(0, listed, trial.securityOf(0), unsaid))
  trial.fleet.cutConnections()
  const replayed = await trial.ask(0, listed, trial.securityOf(0), unsaid)
  t.match(replayed, { ok: false, code: 'DEVICE_ANSWER_INVALID', detail: /COUNTER_REPLAYED/ })
  for (let round = 0; round < 3; round++) {
    isItself(t, 0, await trial.ask(0, listed), `round ${round}`)
    trial.fleet.cutConnections()
  }
})

t.test('every mechanism through the pool', async (t) => {
  const { HIGH, HIGH_MD5, HIGH_SHA1, HIGH_GMAC, HIGH_SHA256, HIGH_ECDSA } = Mechanism
  const mechanisms = [HIGH, HIGH_MD5, HIGH_SHA1, HIGH_GMAC, HIGH_SHA256, HIGH_ECDSA]
  for (const suite of [0, 1, 2] as const) {
    const trial = await FleetTrial.start(t, {
      meters: 6,
      metersPerListener: 6,
      securityShares: sharesOf(suite),
      mechanisms,
    })
    const seen = new Set<number>()
    for (let index = 0; index < 6; index++) {
      const { mechanism } = trial.addressOf(index).security!
      seen.add(mechanism)
      isItself(t, index, await trial.ask(index, listed), `suite ${suite}, mechanism ${mechanism}`)
    }
    t.equal(seen.size, suite === 0 ? 5 : 6)
  }
})
