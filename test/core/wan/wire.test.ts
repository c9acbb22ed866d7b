/**
 * The pool against simulated meters with every fault, and over bad ways, over each transport, in
 * the clear and under a suite: an exchange ends once, no answer goes to another question, no
 * invocation counter goes out twice, and when it is over everything works again. Time-outs are
 * short, so that a busy machine makes more of them: no outcome is asserted while something is
 * wrong.
 */
import t, { type Test } from 'tap'
import {
  faultKinds,
  makeFault,
  parseFaults,
  type FaultKind,
} from '../../../actors/simulator/network/faults.ts'
import { decodeValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import type { CosemOperation, ExchangeResult, Transport } from '../../../core/ports/wan.ts'
import { FleetTrial, get, identity, isItself, sharesOf } from './fleet-trial.ts'
import { calmDatagrams, relayDatagrams, relayLine, type Relay } from './relay.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
t.comment(`SEED=${seed}`)

const clock = get(8, '0-0:1.0.0.255', 2)
const register = get(3, '1-0:1.8.0.255', 2)
const questions = [[identity], [clock], [register], [identity, clock, register]]
const triesMax = 4
const impatient = { responseMs: 250, exchangeMs: 2_500, releaseMs: 200 }

class Wire {
  readonly trial: FleetTrial
  private readonly test: Test
  private asked = 0
  private ended = 0

  constructor(test: Test, trial: FleetTrial) {
    this.test = test
    this.trial = trial
  }

  static async start(test: Test, transport: Transport, isCiphered: boolean): Promise<Wire> {
    const shares = isCiphered ? { securityShares: sharesOf(0) } : {}
    const trial = await FleetTrial.start(test, { transport, seed, ...shares }, impatient)
    const wire = new Wire(test, trial)
    if (transport === 'dial-in') await wire.dialIn()
    return wire
  }

  /** Each meter dials in, and again whenever it has lost its connection. */
  private async dialIn(): Promise<void> {
    const { fleet, wan } = this.trial
    const port = await wan.listen('127.0.0.1', 0)
    let isOver = false
    const dial = (index: number): void => {
      if (!isOver) fleet.dialIn(index, { host: '127.0.0.1', port }).on('close', () => dial(index))
    }
    for (let index = 0; index < fleet.meterCount; index++) dial(index)
    this.test.teardown(() => {
      isOver = true
    })
  }

  /** Asks and checks that an answer, if there is one, is to this question. */
  async ask(index: number, round: number): Promise<ExchangeResult> {
    const operations = questions[round % questions.length]!
    this.asked++
    const result = await this.trial.ask(index, operations)
    this.ended++
    if (result.ok && result.results.every((one) => one.value !== undefined))
      for (const [at, operation] of operations.entries())
        this.isRight(index, operation, result.results[at]!.value!)
    return result
  }

  private isRight(index: number, operation: CosemOperation, view: Uint8Array): void {
    const value = decodeValue(Buffer.from(view))
    const what = `meter ${index}, SEED=${seed}`
    if (operation === identity)
      isItself(this.test, index, { ok: true, results: [{ result: 0, value: view }] }, what)
    else if (operation === register) this.test.not(value.tag, Tag.OCTET_STRING, what)
    else this.test.equal((value as { value: Buffer }).value.length, 12, what)
  }

  /** Everybody is asked until all is well, but not for ever. */
  async isWell(what: string, indexes: readonly number[]): Promise<void> {
    const works = async (index: number): Promise<void> => {
      const said: string[] = []
      for (let tries = 0; tries < triesMax; tries++) {
        const result = await this.ask(index, 0)
        if (result.ok) return
        said.push(`${result.code} ${result.detail}`)
      }
      this.test.fail(`${what}: meter ${index}, SEED=${seed}: ${said.join('; ')}`)
    }
    await Promise.all(indexes.map(works))
    this.test.equal(this.ended, this.asked, `${what}: all ended`)
    this.test.equal(this.trial.wan.counts.exchanges, 0, what)
  }
}

/**
 * Every counter that a meter looks at, proofs included; gives how many there were. Those in `known`
 * may come again, with the same octets.
 */
function watchCounters(
  test: Test,
  { trial }: Wire,
  known: ReadonlySet<string> = new Set(),
): () => number {
  const watched: Set<number>[] = []
  for (let index = 0; index < trial.fleet.meterCount; index++) {
    const { security } = trial.fleet.meter(index)
    if (security === undefined) continue
    const window = security.forAssociation.windows!.unicast!
    const seen = new Set<number>()
    const isFresh = window.isFresh.bind(window)
    window.isFresh = (value) => {
      if (seen.has(value) && !known.has(`${value}`))
        test.fail(`meter ${index} was sent ${value} twice, SEED=${seed}`)
      seen.add(value)
      return isFresh(value)
    }
    watched.push(seen)
  }
  return () => watched.reduce((sum, { size }) => sum + size, 0)
}

const everyone = [0, 1, 2, 3, 4, 5]
const transports = ['tcp', 'udp', 'hdlc', 'dial-in'] as const satisfies Transport[]
const ways = [false, true].flatMap((isCiphered) =>
  transports.map((transport) => ({ transport, isCiphered })),
)

for (const { transport, isCiphered } of ways)
  t.test(`faults of meters over ${transport}${isCiphered ? ' under suite 0' : ''}`, async (t) => {
    const wire = await Wire.start(t, transport, isCiphered)
    const countersSeen = watchCounters(t, wire)
    const { fleet } = wire.trial
    // Two meters with each fault, at the two ends of a concentrator, while the others are asked.
    for (const kind of Object.keys(faultKinds) as FaultKind[]) {
      const fault = makeFault(kind, kind === 'slow' ? { delayMs: 5 } : {})
      fleet.setFault(0, fault)
      await Promise.all([0, 1, 4].map((index) => wire.ask(index, 3)))
      fleet.setFault(0, undefined)
      await wire.isWell(`after ${kind}`, [0, 1])
    }
    const some = 'garbage:4%,drop:2%,noise:2%,wrong-invoke-id:4%,exception:4%,truncate:2%'
    fleet.setFault('all', parseFaults(some))
    await Promise.all(
      everyone.map(async (index) => {
        for (let round = 0; round < 6; round++) await wire.ask(index, round)
      }),
    )
    fleet.setFault('all', [])
    await wire.isWell('after all of them', everyone)
    t.equal(countersSeen() > 0, isCiphered)
  })

for (const { transport, isCiphered } of ways)
  t.test(`a hub that forgets over ${transport}${isCiphered ? ' under suite 0' : ''}`, async (t) => {
    const wire = await Wire.start(t, transport, isCiphered)
    await wire.isWell('at first', everyone)
    wire.trial.fleet.setFault(0, makeFault('drop'))
    let isOver = false
    const dropped = wire.ask(0, 0).then(() => (isOver = true))
    // A way with others at work on it stays when one is given up.
    while (!isOver) await wire.ask(1, 0)
    await dropped
    wire.trial.fleet.setFault(0, undefined)
    for (const index of [1, 2]) {
      const result = await wire.ask(index, 0)
      t.ok(result.ok, `meter ${index} behind it`, { result })
    }
  })

for (const { transport, isCiphered } of ways)
  if (transport === 'udp' || transport === 'hdlc')
    t.test(`a bad way over ${transport}${isCiphered ? ' under suite 0' : ''}`, async (t) => {
      const wire = await Wire.start(t, transport, isCiphered)
      const random = seededRandom(seed)
      const sent = new Map<string, Buffer>()
      const known = new Set<string>()
      const onDatagram = (octets: Buffer, port: number): void => {
        const at = isCiphered ? counterAt(octets) : -1
        if (at < 0) return
        const name = `port ${port}, device ${octets.readUInt16BE(4)}: ${octets.readUInt32BE(at)}`
        const before = sent.get(name)
        if (before !== undefined && !before.equals(octets)) t.fail(`${name} twice, SEED=${seed}`)
        sent.set(name, octets)
        known.add(`${octets.readUInt32BE(at)}`)
      }
      const relays: Relay[] = []
      for (const port of wire.trial.fleet.ports) {
        const relay =
          transport === 'udp'
            ? await relayDatagrams(port, random, (octets) => onDatagram(octets, port))
            : await relayLine(port, random)
        relays.push(relay)
        wire.trial.ports.set(port, relay.port)
        t.teardown(() => relay.close())
      }
      const countersSeen = watchCounters(t, wire, known)
      let answered = 0
      await Promise.all(
        everyone.map(async (index) => {
          for (let round = 0; round < 6; round++) if ((await wire.ask(index, round)).ok) answered++
        }),
      )
      t.comment(`${answered} of 36 exchanges were answered`)
      for (const relay of relays) relay.calm = true
      await wire.isWell('when it is calm', everyone)
      t.equal(countersSeen() > 0, isCiphered)
    })

for (const isCiphered of [false, true])
  t.test(`answers that come twice are answers${isCiphered ? ' under suite 0' : ''}`, async (t) => {
    const wire = await Wire.start(t, 'udp', isCiphered)
    for (const port of wire.trial.fleet.ports) {
      const relay = await relayDatagrams(port, seededRandom(seed), () => undefined, {
        questions: calmDatagrams,
        answers: { ...calmDatagrams, doubled: 0.5 },
      })
      wire.trial.ports.set(port, relay.port)
      t.teardown(() => relay.close())
    }
    await Promise.all(
      everyone.map(async (index) => {
        for (let round = 0; round < 8; round++) {
          const result = await wire.ask(index, round)
          t.ok(result.ok, `SEED=${seed} ${result.ok ? '' : `${result.code} ${result.detail}`}`)
        }
      }),
    )
  })

/**
 * Where the invocation counter stands in a datagram under suite 0, or -1: behind 0x30, in glo-… or
 * in the InitiateRequest at the end of an AARQ.
 */
function counterAt(octets: Buffer): number {
  const apduAt = 8
  const tag = octets[apduAt]!
  let from = tag >= 0xc8 ? apduAt : -1
  if (tag === 0x60)
    from = octets.findIndex((one, at) => one === 0x21 && at + 2 + octets[at + 1]! === octets.length)
  if (from < 0) return -1
  const length = octets[from + 1]!
  const control = from + 2 + (length > 0x80 ? length - 0x80 : 0)
  return octets[control] === 0x30 ? control + 1 : -1
}
