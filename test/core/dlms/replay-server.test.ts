/**
 * Recorded conversations, our server in the place of the recorded meter: it has the same keys,
 * challenges and counters, is asked the octets that the clients really sent, ciphered ones
 * included, and has the values that the meters had. Read in place.
 */
import t, { type Test } from 'tap'
import { Conformance, conformanceSupported } from '../../../core/dlms/apdu/constants.ts'
import { type Aare } from '../../../core/dlms/apdu/acse.ts'
import { decodeApdu, type ApduOf } from '../../../core/dlms/apdu/codec.ts'
import {
  Mechanism,
  authenticatedEncrypted,
  blockCipherProof,
  SecurityChannel,
} from '../../../core/dlms/security/index.ts'
import { DlmsServer, type CosemObjects } from '../../../core/dlms/server/server.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { loadExchanges, ownExchanges, type Captured } from '../../support/dlms.ts'
import {
  isGoingOn,
  isProof,
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

const own = ownExchanges()
const shared = loadExchanges()
const absent =
  'SKIPPED: ../shared/dlms is not there, so the server is NOT asked what other clients asked'
if (shared === undefined) t.comment(absent)

/** Where our server answers otherwise than the recorded meter, and why that is right. */
const otherwise = {
  aare: 'the AARE has a protocol version, another context or diagnostic 0, and ours has not',
  blocks: 'the value is cut into other blocks, and is the same as a whole',
  firstBlock:
    'the meter refuses a long SET at its first block, and ours takes it or knows no such blocks',
  trailing: 'the meter leaves octets behind the value, or a length in a float, and ours does not',
  release:
    'the meter answers a ciphered RLRQ with a ciphered RLRE that is too short, and ours with a whole one',
  silent: 'the meter says nothing, and ours refuses or acknowledges',
  conformance: 'the meter gives what it had not agreed to; ours agrees to it',
} as const
type Otherwise = keyof typeof otherwise
/** Every session of other makers is a row here. */
const sessions: Record<string, Otherwise[]> = {
  'gxpy-vs-guruxc session 1': ['blocks', 'conformance', 'firstBlock'],
  'gxpy-vs-guruxc session 2': ['blocks', 'firstBlock'],
  'gxpy-vs-guruxc session 3': ['blocks', 'silent'],
  'gxpy-vs-guruxc session 4': ['blocks', 'firstBlock'],
  'suite1-vs-guruxc session 1': ['blocks'],
  'suite1-vs-guruxc session 2': ['blocks'],
  'u9n-vs-guruxc session 1': ['trailing'],
  'u9n-vs-guruxc session 2': [],
  'u9n-vs-guruxc session 3': ['blocks'],
  'u9n-vs-guruxc session 4': [],
  'u9n-vs-guruxc session 5': ['blocks', 'release'],
  'u9n-vs-guruxc session 6': ['blocks'],
  'u9n-vs-guruxc session 7': ['blocks', 'conformance'],
  'u9n-vs-jdlms session 1': ['aare'],
  'u9n-vs-jdlms session 2': ['aare'],
  'u9n-vs-jdlms session 3': ['aare'],
  'u9n-vs-jdlms session 4': ['aare', 'blocks'],
  'u9n-vs-jdlms session 5': ['aare', 'blocks'],
  'u9n-vs-jdlms session 6': ['aare', 'silent'],
  'u9n-vs-jdlms session 7': ['aare', 'silent'],
  'u9n-vs-jdlms session 8': ['silent'],
  'u9n-vs-jdlms session 9': ['aare', 'trailing'],
}

class Replay {
  readonly counts = { asked: 0, same: 0, answers: 0 }
  readonly found = new Set<Otherwise>()
  private readonly t: Test
  private readonly parties: Parties
  private readonly turns: Turn[]
  private readonly server: DlmsServer
  private asked: CosemOperation[] = []
  private values: CosemResult[] = []
  private counters: number[] = []
  private spareCounter = 0x10000

  constructor(t: Test, session: readonly Captured[]) {
    this.t = t
    this.parties = partiesIn(session)
    this.turns = turnsOf(session)
    this.server = this.newServer()
  }

  private newServer(): DlmsServer {
    const { aare, response, mechanism, suite, isCiphered } = this.parties
    const title = aare?.respondingApTitleView
    const counters = { take: () => this.counters.shift() ?? this.spareCounter++ }
    return new DlmsServer({
      objects: this.objects,
      mechanism: mechanism as 0,
      ...(mechanism !== Mechanism.NONE && { secret: recordedSecret }),
      random: scriptedRandom(aare?.respondingAuthenticationValue?.valueView),
      makerProof: blockCipherProof,
      conformance: this.conformance,
      apduBytesMax: response?.serverMaxReceivePduSize,
      ...(isCiphered && {
        security: {
          suite,
          ownTitle: title!,
          keys: recordedKeys,
          counters: { unicast: counters },
          isCipheringNeeded: true,
          policy: { request: authenticatedEncrypted, response: authenticatedEncrypted },
          // The recorded meter answered an RLRQ in the clear with an exception.
          releases: this.refusesPlainRelease ? 'protected' : 'any',
        },
      }),
    })
  }

  private get refusesPlainRelease(): boolean {
    return this.turns.some(
      ({ request, answer }) =>
        request.apdu[0] === 0x62 && answer?.apdu.toString('hex') === 'd80102',
    )
  }

  /** What the meter agreed to, and what it gave without. */
  private get conformance(): number {
    const agreed = this.parties.response?.negotiatedConformance ?? conformanceSupported
    let used = 0
    for (const { request, answer } of this.turns) {
      if (answer?.plain.readUInt16BE(0) === 0xc402) used |= Conformance.BLOCK_TRANSFER_WITH_GET
      if (operationsIn(request).some(({ selection }) => selection !== undefined))
        used |= Conformance.SELECTIVE_ACCESS
    }
    if ((agreed & used) !== used) this.found.add('conformance')
    return agreed | used
  }

  /** Gives what the meter gave, one result after the other. */
  private readonly objects: CosemObjects = {
    get: (descriptor, selection) => {
      this.ask('get', descriptor, selection, undefined)
      const { value, result } = this.values.shift()!
      return value === undefined ? result : Buffer.from(value)
    },
    set: (descriptor, selection, value) => {
      this.ask('set', descriptor, selection, value)
      return this.values.shift()!.result
    },
    invoke: (descriptor, value) => {
      this.ask('action', descriptor, undefined, value)
      return { result: this.values.shift()!.result }
    },
  }

  private ask(
    kind: CosemOperation['kind'],
    descriptor: Buffer,
    selection: Buffer | undefined,
    value: Buffer | undefined,
  ): void {
    const copied = [descriptor, selection, value].map((octets) => octets && Buffer.from(octets))
    this.asked.push({
      kind,
      descriptor: copied[0]!,
      ...(copied[1] && { selection: copied[1] }),
      ...(copied[2] && { value: copied[2] }),
    })
  }

  run(): void {
    for (let i = 0; i < this.turns.length; i++) {
      const turn = this.turns[i]!
      const service = serviceFrom(this.turns, i)
      this.asked = []
      this.values = valuesIn(service)
      const answer = this.receive(turn)
      if (turn.request.plain[0] === 0x60) this.checkAssociation(turn, answer)
      else if (turn.answer === undefined) this.checkUnanswered(answer)
      else if (turn.request.plain[0] === 0x62) this.checkRelease(turn, answer)
      else if (turn.answer.plain.readUInt16BE(0) === 0xc402) this.checkBlocks(service, answer)
      else this.checkAnswer(turn, answer)
      i += service.length - 1
    }
  }

  /** Our answer to the octets of the request, in the clear too. */
  private receive({ request, answer }: Turn): { apdu: Buffer; plain: Buffer } {
    const inner = answer && isProof(request) ? proofCounter(answer) : undefined
    this.counters = [
      ...(inner === undefined ? [] : [inner]),
      ...(answer?.shape ? [answer.counter] : []),
    ]
    const given = this.server.receive(Buffer.from(request.apdu))!
    this.counts.answers++
    const apdu = Buffer.from(given)
    const isProtected = this.parties.isCiphered && apdu[0]! >= 0xc8 && apdu[0] !== 0xd8
    return { apdu, plain: isProtected ? this.newClient().unprotect(apdu) : apdu }
  }

  private newClient(): SecurityChannel {
    const { aarq, aare, suite } = this.parties
    return new SecurityChannel({
      role: 'client',
      suite,
      ownTitle: aarq.callingApTitleView!,
      peerTitle: aare!.respondingApTitleView,
      keys: recordedKeys,
      counters: {},
    })
  }

  private same(answer: { apdu: Buffer }, wanted: Said, name: string): void {
    this.t.equal(
      answer.apdu.toString('hex'),
      wanted.apdu.toString('hex'),
      `${name}: the same octets`,
    )
    this.counts.same++
  }

  private checkAssociation(turn: Turn, answer: { apdu: Buffer }): void {
    const { response, aare, mechanism } = this.parties
    const ours = decodeApdu(answer.apdu) as Aare & { type: 'aare' }
    this.t.match(ours, { type: 'aare', result: 0 })
    if (turn.answer === undefined) return void this.found.add('silent')
    const isHigh = mechanism >= Mechanism.HIGH
    const isOrdinary =
      aare!.protocolVersion === undefined &&
      aare!.resultSourceDiagnostic?.diagnostic === (isHigh ? 14 : 0)
    if (!isOrdinary) this.found.add('aare')
    const isSame = isOrdinary && this.conformance === response!.negotiatedConformance
    if (isSame) return this.same(answer, turn.answer, 'AARE')
    this.t.same(ours.respondingAuthenticationValue, aare!.respondingAuthenticationValue)
    this.t.same(ours.respondingApTitleView, aare!.respondingApTitleView)
    if (ours.userInformation?.type !== 'initiate-response') return
    this.t.equal(ours.userInformation.serverMaxReceivePduSize, response!.serverMaxReceivePduSize)
    const added = this.conformance & ~response!.negotiatedConformance
    const wanted = (response!.negotiatedConformance & conformanceSupported) | added
    this.t.equal(ours.userInformation.negotiatedConformance, wanted)
  }

  private checkUnanswered({ plain }: { plain: Buffer }): void {
    this.found.add('silent')
    this.t.ok(plain[0] === 0xd8 || plain.readUInt16BE(0) === 0xc502, plain.toString('hex'))
    this.t.same(this.asked, [], 'nothing was done')
  }

  private checkRelease(turn: Turn, answer: { apdu: Buffer }): void {
    const isOrdinary = ['6303800100', 'd80102'].includes(turn.answer!.apdu.toString('hex'))
    if (isOrdinary || answer.apdu.equals(turn.answer!.apdu)) this.same(answer, turn.answer!, 'RLRE')
    else {
      this.found.add('release')
      this.t.match(decodeApdu(answer.apdu), { userInformation: { type: 'glo-initiate-response' } })
    }
    // A plain RLRQ does not end a ciphered association.
    this.t.equal(this.server.isAssociated, answer.apdu[0] === 0xd8)
  }

  private checkAnswer(
    { request, answer, answerTrailing }: Turn,
    ours: { apdu: Buffer; plain: Buffer },
  ) {
    const name = request.plain.toString('hex', 0, 12)
    if (request.plain.readUInt16BE(0) === 0xc102) {
      this.found.add('firstBlock')
      this.t.ok(['c502', 'd801'].includes(ours.plain.toString('hex', 0, 2)), name)
      this.t.same(this.asked, [])
      return
    }
    if (answer!.plain[0] === 0xd8 || isProof(request)) return this.same(ours, answer!, name)
    this.t.same(this.asked, operationsIn(request), `${name}: asked the same`)
    this.counts.asked += this.asked.length
    const isFloat = /^c401..00(1704|1808)/.test(answer!.plain.toString('hex'))
    if (answerTrailing.length === 0 && !isFloat) return this.same(ours, answer!, name)
    this.found.add('trailing')
    const [wanted] = resultsIn([{ request, answer, answerTrailing }])
    this.t.same(ours.plain.subarray(4), wanted!.value, name)
  }

  /** Goes on with the recorded requests for the next block until all is there. */
  private checkBlocks(service: readonly Turn[], first: { plain: Buffer }): void {
    const [value] = valuesIn(service)
    const name = service[0]!.request.plain.toString('hex', 0, 12)
    const raw: Buffer[] = []
    let { plain } = first
    this.t.same(this.asked, operationsIn(service[0]!.request), `${name}: asked the same`)
    this.counts.asked += this.asked.length
    this.found.add('blocks')
    if (plain[1] === 1) return void this.t.same(plain.subarray(4), value!.value, `${name}: whole`)
    let isLast = false
    for (const next of [...service.slice(1), undefined]) {
      const { datablock } = decodeApdu(plain) as ApduOf<'get-response-with-datablock'>
      raw.push((datablock.result as { rawDataView: Buffer }).rawDataView)
      isLast = datablock.lastBlock
      if (isLast || next === undefined) break
      plain = this.receive(next).plain
    }
    this.t.ok(isLast, `${name}: in no more blocks`)
    this.t.same(Buffer.concat(raw), value!.value, `${name}: the same value`)
  }
}

function operationsIn({ plain }: Said): CosemOperation[] {
  return plain[0]! >= 0xc0 && !isProof({ plain } as Said) ? (operationsOf(plain) ?? []) : []
}

/** The turn at `at`, and those that go on with it. */
function serviceFrom(turns: readonly Turn[], at: number): Turn[] {
  let end = at + 1
  while (end < turns.length && isGoingOn(turns[end]!.request)) end++
  return turns.slice(at, end)
}

/** What the meter gave to the operations of a service. */
function valuesIn(service: readonly Turn[]): CosemResult[] {
  const [{ request, answer }] = service as [Turn]
  if (answer === undefined || request.plain[0]! < 0xc0 || isProof(request)) return []
  // One value is a long64 without content: objects may hold it, though no client takes it.
  if (answer.plain.toString('hex', 3) === '0014') return [{ value: Buffer.of(0x14), result: 0 }]
  return resultsIn(service)
}

t.test('in the place of our server, recorded with our client', (t) => {
  t.ok(own.size >= 8)
  for (const [name, session] of own)
    t.test(name, (t) => {
      const replay = new Replay(t, session)
      replay.run()
      // Blocks are compared as a whole with every server.
      t.same([...replay.found], ['blocks'], 'otherwise')
      t.equal(replay.counts.answers, session.length / 2)
      t.end()
    })
  t.end()
})

t.test('in the place of the meter', { skip: shared === undefined && absent }, (t) => {
  if (shared === undefined) return t.end()
  t.same([...shared.keys()].sort(), Object.keys(sessions).sort(), 'every session has a row')
  const total = { asked: 0, same: 0, answers: 0 }
  for (const [name, session] of shared)
    t.test(name, (t) => {
      const replay = new Replay(t, session)
      replay.run()
      t.same([...replay.found].sort(), sessions[name], 'otherwise')
      for (const key of Object.keys(total) as (keyof typeof total)[])
        total[key] += replay.counts[key]
      t.end()
    })
  t.comment(
    `${total.answers} requests answered, ${total.same} of them with the same octets; ${total.asked} operations asked`,
  )
  for (const [name, reasons] of Object.entries(sessions))
    for (const reason of reasons) t.comment(`${name}: ${otherwise[reason]}`)
  t.ok(total.asked > 400 && total.same > 400)
  t.end()
})
