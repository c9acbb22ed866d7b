/**
 * Ciphered meters of other makers behind the pool: one association on a connection, connections
 * that close after a release, and counters that another head-end has moved on, whatever form the
 * refusal takes.
 */
import t, { type Test } from 'tap'
import { limits } from '../../../core/base/limits.ts'
import type { DeviceAddress, ExchangeSecurity } from '../../../core/ports/wan.ts'
import { parseQuirks } from '../../../actors/simulator/quirks/quirks.ts'
import type { WanOptions } from '../../../core/wan/sockets/options.ts'
import { FleetTrial, isItself, listed, sharesOf } from './fleet-trial.ts'
import { OddRelay, type Oddity, type Passing } from './odd-relay.ts'
import { aarqTag, rlrqTag } from './scripted-meter.ts'

const aareTag = 0x61
const rlreTag = 0x63
const exceptionTag = 0xd8
const publicClient = 16

async function oddTrial(t: Test, oddity: Oddity, options: Partial<WanOptions> = {}) {
  const trial = await FleetTrial.start(
    t,
    { meters: 1, securityShares: sharesOf(0) },
    { responseMs: 300, releaseMs: 300, exchangeMs: 60_000, ...options },
  )
  const [listener] = trial.fleet.ports
  const relay = await OddRelay.start(listener!, oddity)
  t.teardown(() => relay.stop())
  trial.ports.set(listener!, relay.port)
  const ask = (counters?: ExchangeSecurity['counters'], profile?: string) =>
    trial.ask(0, listed, trial.securityOf(0, counters), {
      ...trial.addressOf(0),
      ...(profile !== undefined && { profile }),
    })
  return { trial, relay, ask }
}

/** True for what another client says on a connection that one has an association on. */
const isOfAnother = ({ connection, client }: Passing): boolean =>
  connection.associated.size > 0 && !connection.associated.has(client)

const oddities: Record<string, Oddity> = {
  'another client is not answered while one is associated': {
    question: (one) => !isOfAnother(one),
  },
  'another client is answered four octets, to the first one': {
    question(one) {
      if (!isOfAnother(one)) return true
      one.say(Buffer.of(0xd8, 1, 1, 0), publicClient)
      return false
    },
  },
  'it closes when another client speaks': {
    question(one) {
      if (isOfAnother(one)) one.close()
      return !isOfAnother(one)
    },
  },
  'it closes behind the answer to a release': {
    answer(one) {
      if (one.tag === rlreTag) setImmediate(() => one.close())
      return true
    },
  },
  'it closes in place of an answer to a release': {
    answer(one) {
      if (one.tag === rlreTag) one.close()
      return one.tag !== rlreTag
    },
  },
  'it resets at what comes behind a release': {
    question(one) {
      if (one.connection.released) one.close()
      return !one.connection.released
    },
  },
  'it does not answer a release': { question: ({ tag }) => tag !== rlrqTag },
  'it answers a release with an exception, and keeps the association': {
    question(one) {
      if (one.tag === rlrqTag) one.say(Buffer.of(exceptionTag, 1, 2))
      return one.tag !== rlrqTag && (one.client === publicClient || one.connection.number > 1)
    },
  },
  'it is silent to all behind a release': { question: (one) => !one.connection.released },
  'it refuses whatever comes behind a release': {
    question(one) {
      if (one.connection.released) one.say(Buffer.of(exceptionTag, 1, 1))
      return !one.connection.released
    },
  },
  'it closes behind a release and takes one connection at a time': {
    connectionsMax: 1,
    answer(one) {
      if (one.tag === rlreTag) setImmediate(() => one.close())
      return true
    },
  },
}

for (const [what, oddity] of Object.entries(oddities))
  t.test(what, async (t) => {
    const { ask, relay, trial } = await oddTrial(t, oddity)
    const first = await ask()
    isItself(t, 0, first)
    t.ok(relay.accepted <= 3, `${relay.accepted} connections`)
    const used = first.counters!.next
    isItself(t, 0, await ask())
    t.equal(relay.aarqs.filter((client) => client === publicClient).length, 1, 'asked once')
    t.ok(used < 16, `${used} counters`)
    t.equal(trial.wan.counts.exchanges, 0)
  })

t.test('a profile of one association takes two connections from the start', async (t) => {
  const { ask, relay } = await oddTrial(t, { question: (one) => !one.connection.released })
  isItself(t, 0, await ask(undefined, 'one-association'))
  t.equal(relay.accepted, 2)
  t.same(relay.aarqs, [publicClient, 1], 'no AARQ in vain')
})

const emptyFrame = Buffer.from('0001000100010000', 'hex')

t.test(
  'frames of length 0 between answers are passed over, and too many of them are not',
  async (t) => {
    let count = 3
    const { ask, relay } = await oddTrial(t, {
      answer(one) {
        one.write(Buffer.concat(Array.from({ length: count }, () => emptyFrame)))
        return true
      },
    })
    isItself(t, 0, await ask())
    isItself(t, 0, await ask())
    t.equal(relay.accepted, 1, 'the connection was kept')
    count = limits.wrapperEmptyFramesMax + 1
    t.match(await ask(), { ok: false, detail: /frames of length 0/ })
  },
)

t.test('useless frames do not make an exchange longer', async (t) => {
  let isFlooding = false
  const { ask } = await oddTrial(
    t,
    {
      question(one) {
        if (!isFlooding) return true
        // A notification in the clear to the client, again and again.
        const notification = Buffer.of(0x0f, 0, 0, 0, 1, 0, 9, 1, 0x41)
        const timer = setInterval(() => one.say(notification), 20)
        t.teardown(() => clearInterval(timer))
        return false
      },
    },
    { responseMs: 300, exchangeMs: 1_500 },
  )
  isItself(t, 0, await ask())
  isFlooding = true
  t.match(await ask(), { ok: false, code: 'DEVICE_SILENT' }, 'it ends')
})

// ── counters that somebody else has moved on ──

const isRefusal = ({ tag, apdu }: Passing): boolean =>
  tag === exceptionTag || (tag === aareTag && apdu.includes(Buffer.of(0xa2, 3, 2, 1, 1)))

/** The refusal of the simulated meter, an AARE that rejects, in other forms. */
const refusals: Record<string, (passing: Passing) => boolean> = {
  'an AARE that rejects': () => true,
  'an exception with the counter': (one) =>
    said(one, Buffer.of(exceptionTag, 1, 6, 0, 0, 0x13, 0x8d)),
  'an exception': (one) => said(one, Buffer.of(exceptionTag, 1, 1)),
  'a confirmed-service-error': (one) => said(one, Buffer.of(0x0e, 1, 6, 1)),
  'an AARE cut short': (one) => said(one, Buffer.of(aareTag, 40, 1, 2)),
  'octets that are no APDU': (one) => said(one, Buffer.of(0xff, 0xff, 0xff)),
  'an APDU under other keys': (one) =>
    said(one, Buffer.from('c81e30000000010102030405060708090a0b0c0d0e0f1011121314151617', 'hex')),
  'the end of the connection': (one) => {
    one.close()
    return false
  },
  silence: () => false,
}
function said(one: Passing, apdu: Uint8Array): boolean {
  one.say(apdu)
  return false
}

for (const [what, refuse] of Object.entries(refusals))
  t.test(`a counter that was moved on, and ${what}`, async (t) => {
    const { ask, relay } = await oddTrial(t, {
      answer: (one) => !isRefusal(one) || refuse(one),
    })
    isItself(t, 0, await ask({ from: 5_000, to: 9_000, received: -1 }))
    const { received } = (await ask()).counters!
    relay.aarqs.length = 0
    // A deployment that was restored from a backup of before.
    const behind = await ask({ from: 10, to: 20_000, received }, 'one-by-one')
    isItself(t, 0, behind, what)
    t.ok(behind.counters!.next > 5_000)
    t.same(relay.aarqs, [1, publicClient, 1])
    isItself(t, 0, await ask())
  })

t.test('a counter that was moved on beyond what is reserved', async (t) => {
  const { ask } = await oddTrial(t, {})
  const first = await ask({ from: 50_000, to: 59_000, received: -1 })
  const { received, next } = first.counters!
  const behind = await ask({ from: 10, to: 9_000, received }, 'one-by-one')
  t.match(behind, {
    ok: false,
    code: 'DEVICE_ASSOCIATION_REFUSED',
    detail: new RegExp(`expects the invocation counter ${next}, Busbar has sent 10`),
    cause: { counterReceived: 10, counterExpected: next },
    counters: { next: 11, received, expected: next },
  })
})

t.test('a counter that was moved on under an association that was kept', async (t) => {
  const { ask, trial } = await oddTrial(t, {})
  const { counters } = await ask()
  const other = await anotherHeadEnd(trial)
  t.ok(other > counters!.next)
  isItself(t, 0, await ask())
})

/** Another head-end with the same keys, past the relay. @returns its next counter */
async function anotherHeadEnd(trial: FleetTrial): Promise<number> {
  const [listener] = trial.fleet.ports
  const port = trial.ports.get(listener!)!
  trial.ports.delete(listener!)
  const result = await trial.wan.exchange(
    trial.addressOf(0),
    { cosem: listed },
    1,
    trial.securityOf(0, { from: 2_000, to: 9_000, received: -1 }),
  )
  trial.ports.set(listener!, port)
  return result.counters!.next
}

t.test('wrong keys: the counter is not read again at each attempt', async (t) => {
  const { ask, relay } = await oddTrial(t, {
    question(one) {
      if (one.tag === aarqTag && one.client !== publicClient) one.close()
      return one.client === publicClient
    },
  })
  for (let attempt = 0; attempt < 4; attempt++) {
    const result = await ask({ from: 10 + attempt, to: 9_000, received: 3 })
    t.match(result, {
      ok: false,
      code: 'DEVICE_SILENT',
      detail: /closed by the device.*at the association: check keys, client and invocation counter/,
    })
  }
  t.equal(relay.aarqs.filter((client) => client === publicClient).length, 1)
})

t.test('answers with a counter that went back: the reason is given', async (t) => {
  const { ask } = await oddTrial(t, {})
  isItself(t, 0, await ask())
  const refused = await ask({ from: 100, to: 9_000, received: 4_000_000_000 }, 'one-by-one')
  t.match(refused, {
    ok: false,
    code: 'DEVICE_ANSWER_INVALID',
    detail: /DLMS_COUNTER_REPLAYED.*accept-counter/,
    cause: { code: 'DLMS_COUNTER_REPLAYED', counterExpected: 4_000_000_001 },
  })
  const { cause } = refused as { cause?: { counterReceived?: number } }
  t.ok(cause!.counterReceived! < 4_000_000_000)
  const accepted = await ask({ from: 200, to: 9_000, received: 4_000_000_000 }, 'counter-restarts')
  isItself(t, 0, accepted)
  isItself(t, 0, await ask(undefined, 'counter-restarts'))
})

// ── the same kinds as quirks of the simulator, over both transports ──

for (const quirk of [
  ...['one-association', 'one-association-misaddressed', 'one-client', 'closed-after-release'],
  ...['one-client+closed-after-release', 'counter-advanced', 'counter-advanced+one-association'],
  ...['counter-elsewhere', 'clear-release+one-association', 'counter-untold'],
])
  for (const transport of ['tcp', 'hdlc'] as const)
    t.test(`meters with the quirk ${quirk} over ${transport}`, async (t) => {
      const trial = await FleetTrial.start(
        t,
        {
          meters: 1,
          metersPerListener: 1,
          transport,
          securityShares: sharesOf(0),
          quirks: parseQuirks(quirk),
        },
        { responseMs: 1_000, releaseMs: 300 },
      )
      for (let round = 0; round < 4; round++) {
        isItself(t, 0, await trial.ask(0, listed), `round ${round}`)
        // The next round begins with a new association.
        trial.fleet.cutConnections()
      }
    })

t.test('a meter that begins its own counter again needs its profile', async (t) => {
  const trial = await FleetTrial.start(t, {
    meters: 1,
    securityShares: sharesOf(0),
    quirks: parseQuirks('counter-restarted'),
  })
  const { profile, ...unsaid } = trial.addressOf(0)
  t.equal(profile, 'counter-restarts', 'its record names it')
  const ask = (address: DeviceAddress) => trial.ask(0, listed, trial.securityOf(0), address)
  // Heard twice as far as an association counts.
  for (let round = 0; round < 3; round++) isItself(t, 0, await ask(unsaid))
  trial.fleet.cutConnections()
  const refused = await ask(unsaid)
  t.match(refused, { ok: false, cause: { code: 'DLMS_COUNTER_REPLAYED', counterExpected: Number } })
  for (let round = 0; round < 3; round++) {
    isItself(t, 0, await ask({ ...unsaid, profile }))
    trial.fleet.cutConnections()
  }
})
