/**
 * Both ends of an HDLC link, against each other over good and bad lines, and against what odd peers
 * were seen to do.
 */
import fc from 'fast-check'
import t from 'tap'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import { HdlcClient, type HdlcClientOptions } from '../../../../core/dlms/framing/hdlc/client.ts'
import {
  encodeFrame,
  type HdlcFrame,
  type HdlcHeader,
  type HdlcKind,
} from '../../../../core/dlms/framing/hdlc/frame.ts'
import {
  hdlcClientTransitions,
  hdlcServerTransitions,
  type HdlcStep,
} from '../../../../core/dlms/framing/hdlc/link-state.ts'
import { encodeParameters } from '../../../../core/dlms/framing/hdlc/parameters.ts'
import { HdlcReader } from '../../../../core/dlms/framing/hdlc/reader.ts'
import { HdlcServer } from '../../../../core/dlms/framing/hdlc/server.ts'
import { HdlcServerLink } from '../../../../core/dlms/framing/hdlc/server-link.ts'
import {
  encodeUnconfirmed,
  llcToClient,
  llcToServer,
} from '../../../../core/dlms/framing/hdlc/transfer.ts'
import { fine, stations, Wire, type Weather } from '../../../support/hdlc.ts'
import { seededRandom, type Random } from '../../../../core/ports/random.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const { client, server } = stations

/** Moves between states that were made in any test, as `from>to`. */
function movesOf(machine: { prototype: object }): Set<string> {
  const moves = new Set<string>()
  const prototype = machine.prototype as { go(this: { state: string }, to: string): void }
  const { go } = prototype
  prototype.go = function (to) {
    moves.add(`${this.state}>${to}`)
    go.call(this, to)
  }
  return moves
}
const made = { client: movesOf(HdlcClient), server: movesOf(HdlcServerLink) }

const apduOf = (count: number, first = 0xc0): Buffer =>
  Buffer.from(
    Array.from({ length: count }, (_, index) => (index === 0 ? first : (index * 7) & 0xff)),
  )

t.test('opens, asks, answers, closes: the octets of both', (t) => {
  const lines: string[] = []
  const wire = new Wire(
    { server: hdlcAddress(1), proposal: 'never' },
    { servers: [hdlcAddress(1)] },
  )
  wire.weather = (octets) => {
    lines.push(octets.toString('hex'))
    return [octets]
  }
  wire.onApdu = (_, link) => void link.send(hex('c401c1000203'))
  wire.connect()
  t.same(wire.toClient, [
    {
      connected: {
        transmitBytesMax: 128,
        receiveBytesMax: 128,
        transmitWindow: 1,
        receiveWindow: 1,
      },
    },
  ])
  wire.client.send(hex('c001c100080000010000ff0200'), wire.nowMs)
  wire.settle()
  t.same(wire.apdus('toServer'), ['c001c100080000010000ff0200'])
  t.same(wire.apdus('toClient'), ['c401c1000203'])
  t.equal(wire.client.state, 'IDLE')
  wire.client.disconnect(wire.nowMs)
  wire.settle()
  t.same(wire.toClient.at(-1), { disconnected: 'OK' })
  t.same(wire.toServer.at(-1), { disconnected: 'OK' })
  t.equal(wire.server.linkCount, 0)
  t.equal(lines.length, 6, 'two frames to open, to ask, to close')
  t.equal(lines[0], '7ea0070321930f017e', 'as a client of another make was seen to send it')
  t.equal(
    lines[1],
    '7ea01e210373c37a818012050180060180070400000001080400000001533b7e',
    'and a server',
  )
  t.end()
})

const sizes = fc.oneof(fc.integer({ min: 4, max: 40 }), fc.constantFrom(128, 2030))
const windows = fc.integer({ min: 1, max: 7 })
const parameters = fc.record({
  transmitBytesMax: sizes,
  receiveBytesMax: sizes,
  transmitWindow: windows,
  receiveWindow: windows,
})

t.test(
  'any sizes and windows: what is sent arrives once and whole, in no larger pieces than agreed',
  (t) => {
    fc.assert(
      fc.property(
        parameters,
        parameters,
        fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 }),
        (ofClient, ofServer, counts) => {
          const wire = new Wire(
            { parameters: ofClient, proposal: 'always' },
            { parameters: ofServer },
          )
          const bounds = { toServer: 0, toClient: 0 }
          wire.weather = (octets) => {
            const reader = new HdlcReader()
            reader.push(octets)
            let burst = 0
            for (let frame; (frame = reader.next()) !== undefined; burst++)
              if (frame.kind === 'I') {
                const side = frame.source.upper === 16 ? 'toServer' : 'toClient'
                bounds[side] = Math.max(bounds[side], frame.informationView.length)
              }
            t.ok(
              burst <=
                Math.max(
                  1,
                  Math.min(ofClient.transmitWindow, ofServer.receiveWindow),
                  Math.min(ofServer.transmitWindow, ofClient.receiveWindow),
                ),
            )
            return [octets]
          }
          wire.connect()
          const before = wire.nowMs
          for (const count of counts) {
            wire.client.send(apduOf(count), wire.nowMs)
            wire.settle()
          }
          const sent = counts.map((count) => apduOf(count).toString('hex'))
          t.same(wire.apdus('toServer'), sent)
          t.same(wire.apdus('toClient'), sent)
          t.equal(wire.nowMs, before, 'without waiting for anything')
          t.ok(bounds.toServer <= Math.min(ofClient.transmitBytesMax, ofServer.receiveBytesMax))
          t.ok(bounds.toClient <= Math.min(ofServer.transmitBytesMax, ofClient.receiveBytesMax))
        },
      ),
      { numRuns: 150 },
    )
    t.end()
  },
)

/** Loses, doubles, spoils and cuts what goes by. */
function badWeather(random: Random, share: number): Weather {
  return (octets) => {
    const happens = (): boolean => random.fraction() < share
    // Frame by frame, so that a burst may lose its middle.
    const reader = new HdlcReader()
    reader.push(octets)
    const frames: Buffer[] = []
    for (let frame: HdlcFrame | undefined; (frame = reader.next()) !== undefined;)
      frames.push(encodeFrame(frame, frame.informationView))
    const arrived = frames.flatMap((frame) => {
      if (happens()) return []
      const copy = Buffer.from(frame)
      if (happens())
        copy[Math.floor(random.fraction() * copy.length)]! ^= 1 << Math.floor(random.fraction() * 8)
      const cutTo = happens() ? Math.floor(random.fraction() * copy.length) : copy.length
      return happens() ? [copy.subarray(0, cutTo), Buffer.from(frame)] : [copy.subarray(0, cutTo)]
    })
    const all = Buffer.concat(arrived)
    const cut = Math.floor(random.fraction() * (all.length + 1))
    return [all.subarray(0, cut), all.subarray(cut)]
  }
}

t.test(
  'over a bad line each APDU arrives once and whole, in order, or the link says that it ended',
  (t) => {
    const ends = new Map<string, number>()
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 30 }),
        fc.constantFrom(0.01, 0.05, 0.2),
        parameters,
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 4 }),
        (seed, share, agreed, counts) => {
          const wire = new Wire({ parameters: agreed, retriesMax: 6 }, { parameters: agreed })
          wire.weather = badWeather(seededRandom(seed), share)
          wire.connect()
          const sent: string[] = []
          for (const count of counts) {
            if (wire.client.state !== 'IDLE') break
            const apdu = apduOf(count, 0x40 + sent.length)
            sent.push(apdu.toString('hex'))
            wire.client.send(apdu, wire.nowMs)
            const isRest = wire.run(
              () => wire.client.state === 'IDLE' || wire.client.state === 'DISCONNECTED',
            )
            t.ok(isRest, 'it comes to an end')
          }
          const [came, answered] = [wire.apdus('toServer'), wire.apdus('toClient')]
          ends.set(wire.end ?? 'whole', (ends.get(wire.end ?? 'whole') ?? 0) + 1)
          if (wire.end === undefined && wire.client.state === 'IDLE') {
            t.same(came, sent)
            return t.same(answered, sent)
          }
          t.same(came, sent.slice(0, came.length), 'none twice, none torn')
          t.same(answered, sent.slice(0, answered.length))
        },
      ),
      { numRuns: 400 },
    )
    t.ok((ends.get('whole') ?? 0) > 200, JSON.stringify([...ends]))
    t.ok(ends.size > 1, 'some lines were too bad')
    t.end()
  },
)

/** A peer played by hand: says what the test tells it. */
class Hand {
  nowMs = 0
  readonly steps: HdlcStep[] = []
  readonly client: HdlcClient

  constructor(client: HdlcClient) {
    this.client = client
  }

  /** Takes all steps; the frames sent, in words. */
  sent(): string[] {
    const words: string[] = []
    const reader = new HdlcReader()
    for (let step; (step = this.client.next(this.nowMs)) !== undefined;) {
      if (!('send' in step)) {
        this.steps.push(step)
        continue
      }
      reader.push(step.send)
      for (let frame; (frame = reader.next()) !== undefined;) words.push(wordsOf(frame))
    }
    return words
  }
  says(kind: HdlcKind, changes: Partial<HdlcHeader> = {}, information?: Buffer): string[] {
    this.client.receive(encodeFrame(header(kind, changes), information), this.nowMs)
    return this.sent()
  }
  after(ms: number): string[] {
    this.nowMs += ms
    return this.sent()
  }
}

const header = (kind: HdlcKind, changes: Partial<HdlcHeader> = {}): HdlcHeader => ({
  destination: client,
  source: server,
  kind,
  isFinal: true,
  sendNumber: 0,
  receiveNumber: 0,
  isSegmented: false,
  ...changes,
})

function wordsOf({ kind, sendNumber, receiveNumber, isFinal, informationView }: HdlcFrame): string {
  const numbers =
    kind === 'I' ? ` ${sendNumber},${receiveNumber}` : kind === 'RR' ? ` ${receiveNumber}` : ''
  return `${kind}${numbers}${isFinal ? '' : ' not final'}${kind === 'SNRM' && informationView.length > 0 ? ' with parameters' : ''}`
}

function opened(options: Partial<HdlcClientOptions> = {}, agreed?: Buffer): Hand {
  const hand = new Hand(new HdlcClient({ client, server, ...options }))
  hand.client.connect(0)
  hand.sent()
  hand.says('UA', {}, agreed)
  return hand
}

t.test('a client asks again in time, and gives up in the end', (t) => {
  const hand = new Hand(new HdlcClient({ client, server, responseMs: 1_000, retriesMax: 3 }))
  t.equal(hand.client.actAtMs, undefined)
  hand.client.connect(0)
  t.same(hand.sent(), ['SNRM with parameters'])
  t.equal(hand.client.actAtMs, 1_000)
  t.same(hand.after(999), [])
  t.same(
    hand.after(1),
    ['SNRM'],
    'some meters do not answer one with parameters, some none without',
  )
  t.same(hand.after(1_000), ['SNRM with parameters'])
  t.same(hand.says('UA'), [])
  t.match(
    hand.steps,
    [{ connected: { transmitBytesMax: 128, transmitWindow: 1 } }],
    'nothing said is 128 and 1',
  )
  hand.client.send(apduOf(20), hand.nowMs)
  t.same(hand.sent(), ['I 0,0'])
  t.same(hand.after(1_000), ['RR 0'], 'what has the meter got?')
  t.same(hand.says('RR', { receiveNumber: 0 }), ['I 0,0'], 'nothing: again')
  t.same(hand.says('RR', { receiveNumber: 1 }), [])
  t.same(hand.after(99), [])
  t.same(hand.after(1), ['RR 0'], 'it has not got its answer yet')
  t.same(hand.says('RR', { receiveNumber: 1 }), [])
  t.same(hand.after(100), ['RR 0'])
  t.same(hand.says('I', { receiveNumber: 1 }, hex('e6e700c401')), [])
  t.match(hand.steps.at(-1), { apdu: hex('c401') })
  t.equal(hand.client.state, 'IDLE')
  hand.client.send(apduOf(20), hand.nowMs)
  t.same(hand.sent(), ['I 1,1'])
  for (let i = 0; i < 3; i++) t.same(hand.after(1_000), ['RR 1'])
  t.same(hand.after(1_000), [])
  t.match(hand.steps.at(-1), { disconnected: 'DLMS_HDLC_SILENT' })
  t.equal(hand.client.actAtMs, undefined)
  t.throws(() => hand.client.send(apduOf(1), 0), { code: 'DLMS_STATE_INVALID' })
  t.throws(() => hand.client.poll(0), { code: 'DLMS_STATE_INVALID' })
  hand.client.disconnect(0)
  t.same(hand.sent(), [], 'nothing to close')
  t.end()
})

t.test(
  'a long frame on a slow line is waited for while it comes, and given up when it does not',
  (t) => {
    const hand = opened({ responseMs: 1_000 })
    hand.client.send(apduOf(20), hand.nowMs)
    hand.sent()
    const answer = encodeFrame(
      header('I', { receiveNumber: 1 }),
      Buffer.concat([llcToClient, apduOf(100)]),
    )
    for (let at = 0; at < 60; at += 20) {
      hand.client.receive(answer.subarray(at, at + 20), hand.nowMs)
      t.same(hand.after(900), [])
    }
    t.same(hand.after(900), ['RR 0'], 'no more came')
    t.same(
      hand.says('I', { receiveNumber: 1 }, hex('e6e700c401')),
      [],
      'the next frame is found behind the torn one',
    )
    t.match(hand.steps.at(-1), { apdu: hex('c401') })
    t.end()
  },
)

t.test('a busy meter is asked until it is ready, a refusing one is left', (t) => {
  const hand = opened({ answerMs: 1_000 })
  hand.client.send(apduOf(20), hand.nowMs)
  hand.sent()
  t.same(hand.says('RNR'), [])
  t.same(hand.after(100), ['RR 0'])
  t.same(hand.says('RNR'), [])
  t.same(hand.after(100), ['RR 0'])
  t.same(hand.says('RR'), ['I 0,0'])
  for (let i = 0; hand.client.state !== 'DISCONNECTED'; i++) {
    if (i > 20) throw new Error('asked without end')
    hand.says('RR', { receiveNumber: 1 })
    hand.after(100)
  }
  t.match(hand.steps.at(-1), {
    disconnected: 'DLMS_HDLC_SILENT',
    detail: 'no answer, though polled',
  })

  const refused = new Hand(new HdlcClient({ client, server }))
  refused.client.connect(0)
  refused.sent()
  refused.says('DM')
  t.match(refused.steps, [{ disconnected: 'DLMS_HDLC_REFUSED' }])

  const rejected = opened()
  rejected.client.send(apduOf(1), 0)
  rejected.sent()
  t.same(rejected.says('FRMR', {}, hex('100001')), ['DISC'], 'the meter is told')
  t.match(rejected.steps.at(-1), { disconnected: 'DLMS_HDLC_BROKEN', detail: 'FRMR 100001' })

  const stuck = opened()
  stuck.client.send(apduOf(1), 0)
  stuck.sent()
  for (let i = 0; stuck.client.state !== 'DISCONNECTED'; i++) {
    if (i > 10) throw new Error('repeated without end')
    stuck.says('RR')
  }
  t.match(stuck.steps.at(-1), { disconnected: 'DLMS_HDLC_BROKEN' })

  const long = opened({ apduBytesMax: 30 })
  long.client.send(apduOf(1), 0)
  long.sent()
  t.same(long.says('I', { receiveNumber: 1, isSegmented: true }, Buffer.alloc(30)), ['RR 1'])
  t.same(long.says('I', { receiveNumber: 1, sendNumber: 1 }, Buffer.alloc(4)), ['DISC'])
  t.match(long.steps.at(-1), { disconnected: 'DLMS_SIZE_EXCEEDED' })
  t.end()
})

t.test('odd meters', (t) => {
  const late = opened({ receiveNumbers: 'ignored' })
  late.client.send(apduOf(200), 0)
  t.same(late.sent(), ['I 0,0'])
  t.same(late.says('RR', { isFinal: false }), ['I 1,0'], 'N(R) never counts, F is never said')
  t.same(
    late.says('I', { isFinal: false, isSegmented: true }, hex('e6e600c4')),
    ['RR 1'],
    'the LLC header of a client',
  )
  t.same(late.says('I', { sendNumber: 1 }, hex('01')), [])
  t.match(late.steps.at(-1), { apdu: hex('c401') })

  const answering = opened()
  answering.client.send(apduOf(20), 0)
  answering.sent()
  t.same(
    answering.says('I', {}, hex('c401')),
    [],
    'an answer acknowledges the question; no LLC header at all',
  )
  t.match(answering.steps.at(-1), { apdu: hex('c401') })
  answering.client.send(apduOf(20), 0)
  t.same(answering.sent(), ['I 1,1'])
  t.same(answering.says('I', {}, hex('c401')), ['I 1,1'], 'the same frame once more is no answer')
  t.same(
    answering.says('RR', { receiveNumber: 5 }),
    ['I 1,1'],
    'a number of nothing acknowledges nothing',
  )

  const others = opened()
  t.same(others.says('DM', { source: hdlcAddress(2, 17) }), [])
  t.same(others.says('DM', { destination: hdlcAddress(17) }), [])
  t.same(others.says('DM', { destination: hdlcAddress(0x7f) }), [])
  t.same(others.says('SNRM'), [])
  t.equal(others.client.framesIgnored, 4)
  t.same(others.says('RR', { isFinal: false }), [])
  t.equal(others.client.actAtMs, undefined, 'it stays idle')
  t.same(
    others.says('I', { isFinal: false, isSegmented: true }, hex('e6e700c2')),
    ['RR 1'],
    'a window of one is full',
  )
  t.equal(others.client.state, 'WAITING', 'the rest is asked for')
  t.end()
})

t.test('windows: a turn ends with F, or when the window is full', (t) => {
  const agreed = encodeParameters({
    transmitBytesMax: 10,
    receiveBytesMax: 10,
    transmitWindow: 2,
    receiveWindow: 3,
  })
  const own = { transmitBytesMax: 10, receiveBytesMax: 10, transmitWindow: 3, receiveWindow: 2 }
  const hand = opened({ parameters: own }, agreed)
  hand.client.send(apduOf(40), 0)
  t.same(hand.sent(), ['I 0,0 not final', 'I 1,0 not final', 'I 2,0'])
  t.same(
    hand.says('RR', { receiveNumber: 1 }),
    ['I 1,0 not final', 'I 2,0 not final', 'I 3,0'],
    'back to what was lost',
  )
  t.same(hand.says('RR', { receiveNumber: 4 }), ['I 4,0'])
  t.same(
    hand.says('I', { receiveNumber: 5, isFinal: false, isSegmented: true }, hex('e6e700c401')),
    [],
    'it goes on',
  )
  t.same(
    hand.says(
      'I',
      { receiveNumber: 5, sendNumber: 1, isFinal: false, isSegmented: true },
      hex('02'),
    ),
    ['RR 2'],
  )
  t.same(hand.says('I', { receiveNumber: 5, sendNumber: 3 }, hex('04')), ['RR 2'], 'one is missing')
  t.same(hand.says('I', { receiveNumber: 5, sendNumber: 2 }, hex('03')), [])
  t.match(hand.steps.at(-1), { apdu: hex('c4010203') })
  t.end()
})

t.test('an idle client closes the link when its time has come', (t) => {
  const hand = opened({ inactivityMs: 5_000 })
  t.equal(hand.client.actAtMs, 5_000)
  t.same(hand.after(5_000), ['DISC'])
  t.same(hand.after(3_000), ['DISC'])
  t.same(hand.says('UA'), [])
  t.match(hand.steps.at(-1), { disconnected: 'OK' })
  const gone = opened()
  gone.client.disconnect(0)
  gone.sent()
  gone.says('DM')
  t.match(gone.steps.at(-1), { disconnected: 'OK' }, 'it was closed already')
  t.end()
})

t.test(
  'a client closes the link whatever is under way, and hears when the meter has closed it',
  (t) => {
    const lost: Weather = () => []
    const connecting = new Wire()
    connecting.client.connect(0)
    connecting.client.disconnect(0)
    connecting.client.disconnect(0)
    connecting.settle()
    t.equal(connecting.end, 'OK')
    const sending = new Wire()
    sending.connect()
    sending.weather = lost
    sending.client.send(apduOf(9), sending.nowMs)
    sending.settle()
    t.equal(sending.client.state, 'SENDING')
    sending.weather = fine
    sending.client.disconnect(sending.nowMs)
    sending.settle()
    t.equal(sending.end, 'OK')
    const waiting = new Wire()
    waiting.connect()
    waiting.client.poll(waiting.nowMs)
    waiting.settle()
    t.equal(waiting.client.state, 'WAITING')
    waiting.weather = lost
    waiting.client.send(apduOf(9), waiting.nowMs, { wantsAnswer: false })
    t.equal(waiting.client.state, 'SENDING', 'what is to be said goes before the next poll')
    waiting.weather = fine
    waiting.settle()
    t.equal(waiting.client.state, 'IDLE', 'an answer came')
    waiting.client.poll(waiting.nowMs)
    waiting.settle()
    waiting.client.disconnect(waiting.nowMs)
    waiting.settle()
    t.equal(waiting.end, 'OK')
    const idle = opened()
    idle.says('DM')
    t.match(idle.steps.at(-1), { disconnected: 'DLMS_HDLC_REFUSED' })
    t.end()
  },
)

t.test(
  'a server sends an unsolicited message when it is polled, and takes a second question before it has answered the first',
  (t) => {
    const wire = new Wire({ parameters: { transmitBytesMax: 10 } })
    wire.connect()
    t.ok(wire.link?.send(hex('c2')))
    wire.client.poll(wire.nowMs)
    wire.settle()
    t.same(wire.apdus('toClient'), ['c2'])
    for (const text of ['c205', 'c206', 'c207']) t.ok(wire.link?.send(hex(text)))
    wire.client.poll(wire.nowMs)
    wire.settle()
    wire.client.send(hex('c0'), wire.nowMs)
    wire.settle()
    wire.client.send(apduOf(50), wire.nowMs)
    wire.settle()
    t.equal(wire.link?.state, 'ANSWERING', 'what is queued goes before the answers')
    for (let more = 0; more < 2; more++) {
      wire.client.poll(wire.nowMs)
      wire.settle()
    }
    t.same(wire.apdus('toClient'), ['c2', 'c205', 'c206', 'c207', 'c0', apduOf(50).toString('hex')])
    wire.toServer.length = 0
    wire.onApdu = () => undefined
    wire.client.send(apduOf(5, 1), wire.nowMs, { wantsAnswer: false })
    wire.client.send(apduOf(50, 2), wire.nowMs)
    wire.run(() => wire.apdus('toServer').length === 2)
    t.same(wire.apdus('toServer'), [apduOf(5, 1).toString('hex'), apduOf(50, 2).toString('hex')])
    let count = 0
    while (wire.link!.send(hex('c4'))) if (count++ > 100) throw new Error('takes without end')
    t.ok(count > 0, 'so many may wait')
    t.throws(
      () => {
        for (let i = 0; i < 100; i++) wire.client.send(apduOf(1), wire.nowMs)
      },
      { code: 'DLMS_STATE_INVALID' },
    )
    t.end()
  },
)

t.test('a server that takes its time answers polls, and gives its answer when asked', (t) => {
  const wire = new Wire()
  wire.onApdu = () => undefined
  wire.connect()
  wire.client.send(apduOf(10), wire.nowMs)
  wire.settle()
  t.equal(wire.link?.state, 'ASKED')
  t.equal(wire.link?.send(hex('c401')), true)
  wire.settle()
  t.same(wire.apdus('toClient'), ['c401'], 'it kept the turn')
  wire.client.send(apduOf(10), wire.nowMs)
  wire.run(() => wire.client.state === 'WAITING' && wire.nowMs > 4_500)
  wire.link?.send(hex('c402'))
  wire.link?.send(hex('c403'))
  wire.run(() => wire.client.state === 'IDLE')
  t.same(wire.apdus('toClient'), ['c401', 'c402'])
  wire.client.poll(wire.nowMs)
  wire.settle()
  t.same(wire.apdus('toClient'), ['c401', 'c402', 'c403'], 'the next of a stream')
  wire.client.poll(wire.nowMs, true)
  wire.settle()
  t.equal(wire.client.state, 'IDLE', 'nothing more')
  wire.client.send(apduOf(10, 0x0f), wire.nowMs, { wantsAnswer: false })
  wire.run(() => wire.client.state === 'IDLE')
  t.equal(wire.apdus('toServer').length, 3)
  wire.link!.isBusy = true
  wire.client.send(apduOf(11), wire.nowMs)
  wire.run(() => wire.nowMs > 20_000, 20_001)
  t.equal(wire.apdus('toServer').length, 3, 'RNR: it takes nothing')
  t.equal(wire.end, 'DLMS_HDLC_SILENT')
  t.end()
})

t.test('a server: several stations and clients on one line, strangers, time', (t) => {
  const servers = [hdlcAddress(1, 17), hdlcAddress(2, 17), hdlcAddress(1, 18)]
  const line = new HdlcServer({
    servers,
    linksMax: 3,
    inactivityMs: 1_000,
    accepts: ({ upper }) => upper !== 99,
  })
  const say = (
    kind: HdlcKind,
    to = servers[0]!,
    from = client,
    changes: Partial<HdlcHeader> = {},
    information?: Buffer,
    nowMs = 0,
  ): string[] => {
    line.receive(
      encodeFrame(header(kind, { destination: to, source: from, ...changes }), information),
    )
    return all(nowMs)
  }
  const all = (nowMs: number): string[] => {
    const words: string[] = []
    for (let next; (next = line.next(nowMs)) !== undefined;) {
      const { step, link } = next
      if ('apdu' in step)
        link!.send(
          Buffer.concat([
            step.apdu,
            Buffer.of(link!.server.upper, link!.server.lower!, link!.client.upper),
          ]),
        )
      if (!('send' in step)) {
        words.push(Object.keys(step)[0]!)
        continue
      }
      const reader = new HdlcReader()
      reader.push(step.send)
      for (let frame; (frame = reader.next()) !== undefined;)
        words.push(frame.kind === 'I' ? frame.informationView.toString('hex') : wordsOf(frame))
    }
    return words
  }
  const [public16, management] = [client, hdlcAddress(1)]
  t.same(say('DISC'), ['DM'])
  t.same(say('I'), ['DM'])
  t.same(say('I', servers[0], client, { isFinal: false }), [], 'not its turn')
  t.same(say('SNRM', servers[0], hdlcAddress(99)), ['DM'], 'not welcome')
  t.same(say('SNRM', hdlcAddress(9, 17)), [], 'another station')
  t.same(say('SNRM', hdlcAddress(0x7f, 0x7f)), [], 'everybody would answer')
  t.equal(line.framesIgnored, 2)
  t.same(say('SNRM', servers[0], public16), ['UA', 'connected'])
  t.same(say('SNRM', servers[1], public16), ['UA', 'connected'])
  t.same(say('SNRM', servers[2], management), ['UA', 'connected'])
  t.same(say('SNRM', servers[2], hdlcAddress(5)), ['DM'], 'full')
  t.equal(line.linkCount, 3)
  t.same(say('I', servers[2], management, {}, hex('e6e600c0')), ['apdu', 'e6e700c0011201'])
  t.same(say('I', servers[1], public16, {}, hex('e6e600c1')), ['apdu', 'e6e700c1021110'])
  t.same(
    say('I', servers[1], public16, {}, hex('e6e600c1')),
    ['e6e700c1021110'],
    'a frame twice is one APDU, answered twice',
  )
  t.same(say('UI', servers[1], public16, {}, hex('e6e600c2')), ['unconfirmed'])
  t.same(say('UI', hdlcAddress(0x7f, 0x7f), public16, {}, hex('e6e600c2')), ['unconfirmed'])
  t.same(say('SNRM', servers[1], public16), ['disconnected', 'UA', 'connected'], 'opened again')
  t.equal(line.linkCount, 3)
  t.same(say('RR', servers[1], public16, {}, undefined, 600), ['RR 0'])
  t.equal(line.actAtMs, 1_000)
  t.same(all(999), [])
  t.same(all(1_000), ['disconnected', 'disconnected'], 'two of them were silent')
  t.equal(line.linkCount, 1)
  t.same(say('RR', servers[0], public16, {}, undefined, 1_000), ['DM'])
  t.end()
})

t.test('a server rejects what it cannot take', (t) => {
  const wire = new Wire({ parameters: { transmitBytesMax: 50 } }, { apduBytesMax: 100 })
  wire.connect()
  wire.client.send(apduOf(101), wire.nowMs)
  wire.settle()
  t.equal(wire.end, 'DLMS_HDLC_BROKEN')
  t.match(wire.toServer.at(-1), { disconnected: 'DLMS_SIZE_EXCEEDED' })
  wire.connect()
  t.equal(wire.client.state, 'IDLE', 'and may be opened again')
  const unknown = encodeFrame(header('SNRM', { destination: server, source: client }))
  // XID: a control field of no frame that DLMS has.
  unknown[6] = 0xbf
  wire.server.receive(mended(unknown))
  const words: HdlcStep[] = []
  for (let next; (next = wire.server.next(wire.nowMs)) !== undefined;) words.push(next.step)
  t.match(words, [{ send: Buffer }, { disconnected: 'DLMS_HDLC_BROKEN' }])
  t.end()
})

/** The frame with its FCS made good again. */
function mended(frame: Buffer): Buffer {
  let register = 0xffff
  for (const octet of frame.subarray(1, -3)) {
    register ^= octet
    for (let bit = 0; bit < 8; bit++) register = (register >> 1) ^ (register & 1 ? 0x8408 : 0)
  }
  frame.writeUInt16LE(register ^ 0xffff, frame.length - 3)
  return frame
}

t.test('what a meter says by itself, one frame at a time or in segments', (t) => {
  const ends = { local: server, remote: client }
  const hand = new Hand(new HdlcClient({ client, server, apduBytesMax: 200 }))
  hand.client.receive(encodeUnconfirmed(ends, llcToClient, hex('0f00000001')), 0)
  hand.sent()
  t.match(
    hand.steps,
    [{ unconfirmed: hex('0f00000001'), source: server, destination: client }],
    'also without a link',
  )
  hand.client.receive(
    encodeUnconfirmed({ local: server, remote: hdlcAddress(0x7f) }, llcToClient, hex('0f02')),
    0,
  )
  hand.sent()
  t.match(hand.steps.at(-1), { unconfirmed: hex('0f02') })
  t.same(hand.says('UI', { isSegmented: true }, hex('e6e7000f')), [])
  t.same(hand.says('UI', {}, hex('03')), [])
  t.match(hand.steps.at(-1), { unconfirmed: hex('0f03') })
  hand.says('UI', { isSegmented: true }, hex('e6e7000f'))
  hand.says('UI', {}, hex('e6e7000f04'))
  t.match(hand.steps.at(-1), { unconfirmed: hex('0f04') }, 'the end of the one before was lost')
  hand.says('UI', { isSegmented: true }, Buffer.alloc(150))
  hand.says('UI', {}, Buffer.alloc(150))
  t.equal(hand.steps.length, 4)
  t.equal(hand.client.framesIgnored, 1)
  t.throws(() => encodeUnconfirmed(ends, llcToServer, Buffer.alloc(2040)), {
    name: 'AssertionFault',
  })
  t.end()
})

t.test('any octets at any point: a step, nothing, or DLMS_HDLC_INVALID', (t) => {
  const kinds = fc.constantFrom<HdlcKind>(
    'I',
    'RR',
    'RNR',
    'REJ',
    'SNRM',
    'DISC',
    'UA',
    'DM',
    'FRMR',
    'UI',
  )
  const wild = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((octets) => Buffer.from(octets)),
    fc
      .tuple(
        kinds,
        fc.boolean(),
        fc.nat(7),
        fc.nat(7),
        fc.boolean(),
        fc.boolean(),
        fc.uint8Array({ maxLength: 30 }),
      )
      .map(([kind, isFinal, sendNumber, receiveNumber, isSegmented, isToServer, information]) =>
        encodeFrame(
          header(kind, {
            isFinal,
            sendNumber,
            receiveNumber,
            isSegmented,
            ...(isToServer && { destination: server, source: client }),
          }),
          Buffer.from(information),
        ),
      ),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(wild, fc.constantFrom('client', 'server'), fc.nat(4_000)), {
        maxLength: 30,
      }),
      (said) => {
        const wire = new Wire({
          parameters: { transmitWindow: 3, receiveWindow: 3, transmitBytesMax: 8 },
        })
        wire.connect()
        for (const [octets, to, passedMs] of said) {
          if (wire.client.state === 'DISCONNECTED') wire.client.connect(wire.nowMs)
          if (wire.client.state === 'IDLE') wire.client.send(apduOf(30), wire.nowMs)
          if (to === 'client') wire.client.receive(octets, wire.nowMs)
          else wire.server.receive(octets)
          wire.settle()
          wire.nowMs += passedMs
        }
      },
    ),
    { numRuns: 400 },
  )
  t.end()
})

t.test('every move that was made is in the tables, and every move of the tables was made', (t) => {
  for (const [side, table] of [
    ['client', hdlcClientTransitions],
    ['server', hdlcServerTransitions],
  ] as const) {
    const drawn: string[] = Object.entries(table).flatMap(([from, tos]) =>
      tos.map((to: string) => `${from}>${to}`),
    )
    t.same(
      [...made[side]].filter((move) => !drawn.includes(move)),
      [],
      `${side}: none but these`,
    )
    t.same(
      drawn.filter((move: string) => !made[side].has(move)),
      [],
      `${side}: all of these`,
    )
  }
  t.end()
})
