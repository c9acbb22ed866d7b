/**
 * Recorded conversations, our client in the place of the recorded one: it is given the same
 * credentials, challenges, counters and invoke ids, sends the same octets, and takes the octets
 * that the meters really answered, ciphered ones included. Read in place.
 */
import t, { type Test } from 'tap'
import { decodeValue } from '../../../core/dlms/axdr/axdr.ts'
import { DlmsClient, type ClientOptions } from '../../../core/dlms/client/client.ts'
import {
  Mechanism,
  authenticatedEncrypted,
  blockCipherProof,
  SecurityChannel,
  Shape,
} from '../../../core/dlms/security/index.ts'
import type { ClientState } from '../../../core/dlms/client/state.ts'
import { loadExchanges, outcomeOf, ownExchanges, type Captured } from '../../support/dlms.ts'
import {
  isGoingOn,
  isProof,
  neededFor,
  operationsOf,
  partiesIn,
  proofCounter,
  recordedKeys,
  recordedSecret,
  resultsIn,
  scriptedRandom,
  turnsOf,
  type Parties,
  type Said,
  type Turn,
} from '../../support/replay.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const own = ownExchanges()
const shared = loadExchanges()
const absent =
  'SKIPPED: ../shared/dlms is not there, so the client is NOT tried against what other meters answered'
if (shared === undefined) t.comment(absent)

/** Requests that our client would not send, and why. */
const notOurs = {
  access: 'ACCESS, which the meter had not agreed to',
  blocks: 'a SET in blocks, which the meter had not agreed to',
  list: 'a list, which the meter had not agreed to',
  beforeProof: 'a service before the proof that its own mechanism asks for',
} as const
/**
 * What each session leaves undone, beside what is replayed of it. Every session of other makers is
 * a row here; ours leave nothing.
 */
const sessions: Record<string, string> = {
  'gxpy-vs-guruxc session 1': `asks for ${notOurs.blocks}; asks for ${notOurs.access}`,
  'gxpy-vs-guruxc session 2': `asks for ${notOurs.access}`,
  'gxpy-vs-guruxc session 3': `asks for ${notOurs.access}`,
  'gxpy-vs-guruxc session 4': `asks for ${notOurs.access}`,
  'suite1-vs-guruxc session 1': '',
  'suite1-vs-guruxc session 2': '',
  'u9n-vs-guruxc session 1': '',
  'u9n-vs-guruxc session 2': `asks for ${notOurs.list}`,
  'u9n-vs-guruxc session 3': '',
  'u9n-vs-guruxc session 4': '',
  'u9n-vs-guruxc session 5': '',
  'u9n-vs-guruxc session 6': '',
  'u9n-vs-guruxc session 7': `asks for ${notOurs.list}`,
  'u9n-vs-jdlms session 1': '',
  'u9n-vs-jdlms session 2': '',
  'u9n-vs-jdlms session 3': '',
  'u9n-vs-jdlms session 4': '',
  'u9n-vs-jdlms session 5': '',
  'u9n-vs-jdlms session 6': `asks for ${notOurs.beforeProof}`,
  'u9n-vs-jdlms session 7': `asks for ${notOurs.beforeProof}`,
  'u9n-vs-jdlms session 8': '',
  'u9n-vs-jdlms session 9': '',
}

/** Why our client would not send this request, or undefined. */
function reasonAgainst({ plain }: Said, { response, mechanism }: Parties, isProved: boolean) {
  const needed = neededFor(plain)
  if ((response!.negotiatedConformance & needed) !== needed)
    return plain[0] === 0xd9 ? notOurs.access : plain[0] === 0xc1 ? notOurs.blocks : notOurs.list
  return mechanism >= Mechanism.HIGH && !isProved ? notOurs.beforeProof : undefined
}

/**
 * What is left to chance, habit or a ledger, as the recording has it: given one after the other.
 */
class Script {
  counters: number[] = []
  invokeIds: number[] = []
  shape: Shape = Shape.GENERAL_GLOBAL
  /** The recording ends here, and our client may go on. */
  isOver = false
  private spareCounter = 0x10000

  /** Before the client makes `request`. */
  prepare({ request }: Turn): void {
    // AARQ and RLRQ have the form of their own, whatever services are protected in.
    if (request.plain[0]! >= 0xc0 && request.shape !== Shape.PLAIN) this.shape = request.shape
    const inner = isProof(request) ? proofCounter(request) : undefined
    if (inner !== undefined) this.counters.push(inner)
    if (request.counter >= 0) this.counters.push(request.counter)
    if (request.plain[0]! >= 0xc0 && !isGoingOn(request))
      this.invokeIds.push(request.plain[2]! & 15)
  }

  take(): number {
    const next = this.counters.shift()
    if (next === undefined && !this.isOver)
      throw new Error('more counters than the recorded client used')
    return next ?? this.spareCounter++
  }

  /** In the place of the client's own count, which the recorded clients did not always keep. */
  installIds(client: DlmsClient): DlmsClient {
    let last = 0
    Object.defineProperty(client, 'invokeId', {
      get: () => last,
      set: () => {
        const next = this.invokeIds.shift()
        if (next === undefined && !this.isOver)
          throw new Error('more services than the recorded client asked for')
        last = next ?? 0
      },
    })
    return client
  }
}

function optionsOf(parties: Parties, script: Script): ClientOptions {
  const { aarq, request, mechanism, isCiphered, releasesInClear, suite } = parties
  const title = aarq.callingApTitleView
  const challenge = aarq.callingAuthenticationValue?.valueView
  return {
    mechanism: mechanism as ClientOptions['mechanism'],
    ...(mechanism !== Mechanism.NONE && { secret: recordedSecret }),
    random: scriptedRandom(challenge),
    makerProof: blockCipherProof,
    conformance: request.proposedConformance,
    apduBytesMax: request.clientMaxReceivePduSize,
    ...(title && {
      security: {
        suite,
        ownTitle: title,
        keys: recordedKeys,
        counters: { unicast: script },
        isCiphered,
        releasesInClear,
        get choice() {
          return { shape: script.shape, protection: authenticatedEncrypted }
        },
      },
    }),
  }
}

class Replay {
  readonly counts = { sent: 0, answers: 0, results: 0 }
  readonly left = new Set<string>()
  private readonly t: Test
  private readonly parties: Parties
  private readonly turns: Turn[]
  private readonly script = new Script()
  private readonly client: DlmsClient
  private sent: Buffer | undefined

  constructor(t: Test, session: readonly Captured[]) {
    this.t = t
    this.parties = partiesIn(session)
    this.turns = turnsOf(session)
    const options = optionsOf(this.parties, this.script)
    this.client = this.script.installIds(new DlmsClient(options))
  }

  /**
   * Our client would have given up: it is put back to where the recorded one went on, so that the
   * rest is tried too.
   */
  private resume(): void {
    const inside = this.client as unknown as { current: ClientState; forgetExchange: () => void }
    inside.forgetExchange()
    inside.current = 'ASSOCIATED'
  }

  run(): void {
    const ours = this.ours()
    for (const [i, turn] of ours.entries()) {
      if (i === 0) this.script.prepare(turn)
      this.sent ??= this.begin(turn)
      this.sameAsRecorded(turn)
      this.sent = undefined
      const next = ours[i + 1]
      if (turn.answer === undefined) {
        this.t.not(this.client.state, 'ENDED', 'it waits for an answer')
        this.resume()
        if (next !== undefined) this.script.prepare(next)
        continue
      }
      if (next === undefined) this.script.isOver = true
      else this.script.prepare(next)
      this.receive(turn, ours.slice(0, i + 1))
    }
    if (this.sent !== undefined) this.goesOn(this.sent)
    this.t.same(this.script.invokeIds, [], 'all services were sent')
    this.t.same(this.script.counters, [], 'all counters were used')
  }

  /** What our client would send next, where the recording ends: its proof, or the first service. */
  private goesOn(sent: Buffer): void {
    const { isCiphered, mechanism } = this.parties
    const plain = isCiphered ? this.newMeter().unprotect(sent) : sent
    const isProving = mechanism >= Mechanism.HIGH
    const begins = isProving ? 'c301c0000f0000280000ff01010911' : 'c001c0'
    this.t.ok(plain.toString('hex').startsWith(begins), `it goes on with ${begins}`)
  }

  private newMeter(): SecurityChannel {
    const { aarq, aare, suite } = this.parties
    return new SecurityChannel({
      role: 'server',
      suite,
      ownTitle: aare!.respondingApTitleView!,
      peerTitle: aarq.callingApTitleView,
      keys: recordedKeys,
      counters: {},
    })
  }

  /** The turns that our client takes too. */
  private ours(): Turn[] {
    const ours: Turn[] = []
    let isProved = false
    for (const turn of this.turns) {
      const { request } = turn
      isProved ||= isProof(request)
      const isService = request.plain[0]! >= 0xc0 && !isProof(request)
      const reason = isService ? reasonAgainst(request, this.parties, isProved) : undefined
      if (reason === undefined) ours.push(turn)
      else this.left.add(reason)
    }
    return ours
  }

  /** What is sent when nothing is under way. The AARQ comes from asking for the first service. */
  private begin({ request }: Turn): Buffer {
    if (request.plain[0] === 0x62) return this.client.release()
    return this.client.begin(
      operationsOf(request.plain[0] === 0x60 ? this.firstAsked() : request.plain)!,
    )
  }

  /** The first service that is asked for, or any when none is. */
  private firstAsked(): Buffer {
    const asked = this.turns.find(({ request }) => request.plain[0]! >= 0xc0 && !isProof(request))
    return asked?.request.plain ?? hex('c001c100080000010000ff0200')
  }

  private sameAsRecorded({ request }: Turn): void {
    const sent = Buffer.from(this.sent!)
    this.counts.sent++
    const name = request.plain.toString('hex', 0, 12)
    if (request.plain.readUInt16BE(0) !== 0xc102 || request.shape === Shape.PLAIN) {
      this.t.equal(sent.toString('hex'), request.apdu.toString('hex'), `${name}: the same octets`)
      return
    }
    // We keep to the meter's size with the ciphering around the block; the recorded client did not.
    const meter = this.newMeter()
    const plain = meter.unprotect(sent)
    this.t.ok(sent.length <= this.parties.response!.serverMaxReceivePduSize)
    this.t.equal(meter.received.invocationCounter, request.counter)
    const headBytes = 18
    const rawAt = headBytes + 3
    this.t.equal(plain.toString('hex', 0, headBytes), request.plain.toString('hex', 0, headBytes))
    const raw = plain.subarray(rawAt)
    this.t.same(raw, request.plain.subarray(rawAt, rawAt + raw.length), `${name}: the same value`)
  }

  private receive(turn: Turn, until: readonly Turn[]): void {
    const { answer } = turn
    this.counts.answers++
    const { plain } = answer!
    const name = plain.toString('hex', 0, 12)
    const outcome = outcomeOf(() => this.client.receive(Buffer.from(answer!.apdu)))
    if (outcome.code !== undefined) {
      // A long64 without content is nonsense; what is refused with an exception is refused.
      const isCut = plain.subarray(3).equals(hex('0014'))
      this.t.equal(outcome.code, isCut ? 'DLMS_LENGTH_INVALID' : 'DLMS_EXCEPTION', name)
      this.t.ok(isCut || plain[0] === 0xd8, name)
      this.t.equal(this.client.state, isCut ? 'ENDED' : 'ASSOCIATED')
      if (isCut) this.resume()
      return
    }
    const step = outcome.value
    if ('send' in step) this.sent = step.send
    else if ('results' in step) {
      const start = until.findLastIndex(({ request }) => !isGoingOn(request))
      this.t.same(step.results, resultsIn(until.slice(start)), `${name}: what it means`)
      for (const { value } of step.results) if (value !== undefined) decodeValue(Buffer.from(value))
      this.counts.results += step.results.length
    } else this.t.same(step, { released: true }, name)
    if (plain[0] === 0x61) this.agreed()
    else if (plain[0] !== 0x63 && answer!.shape !== Shape.PLAIN) {
      const { protection, invocationCounter } = this.client.received
      this.t.equal(protection, authenticatedEncrypted)
      this.t.equal(invocationCounter, answer!.counter)
    }
  }

  private agreed(): void {
    const { response } = this.parties
    const { conformance, pduBytesMax } = this.client.negotiated
    this.t.equal(pduBytesMax, response!.serverMaxReceivePduSize)
    this.t.equal(conformance & ~response!.negotiatedConformance, 0, 'no more than was agreed')
  }
}

t.test('in the place of our client, recorded with our server', (t) => {
  t.ok(own.size >= 8)
  for (const [name, session] of own)
    t.test(name, (t) => {
      const replay = new Replay(t, session)
      replay.run()
      t.same([...replay.left], [], 'nothing is left out')
      t.equal(replay.counts.sent, session.length / 2)
      t.end()
    })
  t.end()
})

t.test('in the place of the client', { skip: shared === undefined && absent }, (t) => {
  if (shared === undefined) return t.end()
  t.same([...shared.keys()].sort(), Object.keys(sessions).sort(), 'every session has a row')
  const total = { sent: 0, answers: 0, results: 0 }
  for (const [name, session] of shared)
    t.test(name, (t) => {
      const replay = new Replay(t, session)
      replay.run()
      const left = [...replay.left].map((reason) => `asks for ${reason}`).join('; ')
      t.equal(left, sessions[name], 'left out')
      for (const key of Object.keys(total) as (keyof typeof total)[])
        total[key] += replay.counts[key]
      t.end()
    })
  t.comment(
    `${total.sent} requests sent, ${total.answers} answers taken, ${total.results} results as recorded`,
  )
  for (const [name, left] of Object.entries(sessions))
    if (left !== '') t.comment(`${name}: ${left}`)
  t.ok(total.sent >= 578 && total.answers >= 576 && total.results >= 434)
  t.end()
})
