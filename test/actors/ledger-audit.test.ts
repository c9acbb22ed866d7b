/**
 * The audit of a ledger: an octet that was changed is found by the chain and named, and the other
 * partitions are judged all the same.
 */
import t from 'tap'
import { auditOf, show, verify } from '../../actors/cli/operator/ledger-commands.ts'
import { tail } from '../../actors/cli/operator/ledger-tail.ts'
import { LettersAudit } from '../../actors/cli/operator/letters-audit.ts'
import { hostedSchedule } from '../../actors/schedule/schedule-kind.ts'
import { BodyType } from '../../core/translate/body-types.ts'
import { CreateSchedule } from '../../proto/gen/busbar/v1/schedule.ts'
import { emptyDirectory } from '../../core/access/directory.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import { letterboxId, letterboxKind } from '../../actors/kind/letterbox.ts'
import { actorIdOf, ActorKindNumber, textOfActor } from '../../core/base/actor-id.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { lettersSubject, partitionOfLetters } from '../../core/cluster/letters-subject.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { encodeDeployment } from '../../core/ledger/identity.ts'
import { deploymentSubject } from '../../core/ledger/opening.ts'
import type { LedgerEntry } from '../../core/ports/ledger.ts'
import { SimLedger } from '../../core/ports/sim/ledger.ts'
import { deviceKey } from '../support/envelopes.ts'
import { hostedTrial } from '../support/trial-kind.ts'
import { add, addAlone, addedBy, lettersOf, one, other } from '../support/trial-letters.ts'
import { good, numberOf, partitionCount, pass, World } from '../support/world.ts'

t.test('a flipped octet is named, whichever it is, and stops no other partition', async (t) => {
  const world = new World({ onExchange: good })
  await world.start()
  await world.register(12)
  for (let index = 0; index < 12; index++)
    t.equal(await world.submit({ device: deviceKey(index), counter: 1 }), 'REQUEST_ACCEPTED')
  await pass(world, () => world.deliveries().length === 12)
  const whole = await auditOf(world.ledger)
  t.same(whole.faults, [])
  t.equal(whole.accepted, 12)
  t.equal(whole.ended, 12)
  t.equal(Object.keys(whole.chains).length, 4)

  const tick = world.ledger.all().find(({ subject }) => subject.startsWith('log.'))!
  let frames = 0
  readTickMessage(tick.data, () => frames++, undefined)
  for (let at = 40; at < tick.data.length; at += 97) {
    tick.data[at]! ^= 4
    const said: string[] = []
    t.equal(await verify(world.ledger, (line) => void said.push(line), false), 1, `octet ${at}`)
    t.match(said[0], /^FAULT {2}(partition \d+, )?sequence \d+: (LEDGER|FRAME|ENVELOPE)_/)
    const { chains } = await auditOf(world.ledger)
    t.ok(Object.keys(chains).length >= 4 - frames, 'the others are read to their end')
    tick.data[at]! ^= 4
  }
  t.same((await auditOf(world.ledger)).faults, [])
})

t.test('schedules and their runs are shown', async (t) => {
  const directory = { ...emptyDirectory, format: formatLatest }
  const world = new World({ directory, moreKinds: [hostedSchedule], onExchange: good })
  await world.start()
  await world.register(1)
  const lines: string[] = []
  const { promise: until, resolve: end } = Promise.withResolvers<void>()
  const print = (line: string): void => void lines.push(line)
  const tailing = tail(world.ledger, { from: 1, count: 100, print, until })
  const startMs = world.clock.now() + 5_000
  const [startDate = '', startTime = ''] = new Date(startMs).toISOString().split(/[T.]/)
  const body = CreateSchedule.fromPartial({
    frequency: 1,
    startDate,
    startTime,
    serviceReferenceVariant: '4.2',
  })
  const terms = { device: deviceKey(0), counter: 1, srv: '5.1', bodyType: BodyType.CREATE_SCHEDULE }
  const octets = Buffer.from(CreateSchedule.encode(body).finish())
  t.equal(await world.submit({ ...terms, body: octets }), 'REQUEST_ACCEPTED')
  await pass(world, () => world.deliveries().length === 2)
  end()
  await tailing
  const text = lines.join('\n')
  t.match(text, /SCHEDULES_CHANGED schedule 1 of [0-9A-F-]+: 4\.2 daily/)
  t.match(text, /SCHEDULE_RAN schedule 1: run 0 made, next is run 1/)
  t.match(text, /REQUEST_ACCEPTED 4\.2, the run of a schedule/)
})

t.test('letters are shown, and judged by the tick of their commit', async (t) => {
  const world = new World({ moreKinds: [hostedTrial] })
  await world.start()
  const identity = { id: '1'.repeat(32), createdAtMs: 1, incarnations: [] }
  const deployment = { partitionCount, bucketSuffix: '', identity, format: 2 }
  await world.ledger.commit([{ subject: deploymentSubject, data: encodeDeployment(deployment) }])
  const lines: string[] = []
  const print = (line: string): void => void lines.push(line)
  const { promise: until, resolve: end } = Promise.withResolvers<void>()
  const tailing = tail(world.ledger, { from: 1, count: 100, print, until })
  await world.ask([add(one, 1, other, 1)])
  await pass(world, () => (addedBy(world.ledger.all()).get(one)?.length ?? 0) === 2)
  const whole = await auditOf(world.ledger)
  t.equal(whole.letters, 2)
  t.same(whole.faults, [])

  end()
  await tailing
  const from = textOfActor(actorIdOf(ActorKindNumber.TRIAL, one))
  const to = textOfActor(actorIdOf(ActorKindNumber.TRIAL, other))
  const said = lines.map((line) => line.replace(/^(\d+) {2}\S+/, '$1'))
  const first = world.ledger.all().find(({ subject }) => partitionOfLetters(subject) !== undefined)!
  t.same(
    said.slice(0, 2),
    [
      `${first.sequence}  ${numberOf(other)}  ${from}  LETTER 0 to ${to}, hops 1, 5 octets`,
      `${first.sequence + 1}  ${numberOf(other)}  ${textOfEui64(one)}  LETTERS_READ through ${first.sequence}/0`,
    ],
    said.join('\n'),
  )
  t.match(said[2], `${to}  LETTER 0 to ${from}, hops 2, 5 octets`)
  t.equal(said.length, 4)

  const shown: string[] = []
  t.equal(await show(world.ledger, to.toLowerCase(), (line) => void shown.push(line)), 0)
  t.equal(shown.length, 2, 'sent and received')
  t.equal(await show(world.ledger, textOfEui64(one), print), 1, 'the device itself has none')

  // The last tick has no frame of the sender's partition.
  await world.ask([addAlone(other, 2)])
  const faultsWith = async (...entries: LedgerEntry[]): Promise<string[]> => {
    const ledger = new SimLedger()
    for (const { subject, data } of world.ledger.all()) await ledger.commit([{ subject, data }])
    await ledger.commit(entries)
    return (await auditOf(ledger)).faults
  }
  t.same(await faultsWith(), [])
  const letters = lettersOf([5])
  t.match(await faultsWith(letters), [/a letter of 15\/.* without a fact beside it/])
  const elsewhere = { ...letters, subject: lettersSubject(numberOf(one)) }
  t.match(await faultsWith(elsewhere), [/a letter to 15\/.* in partition/, /without a fact/])
  t.match(
    (await faultsWith(letters, letters)).filter((fault) => /twice in one commit/.test(fault)),
    [/./],
  )
  const far = Array.from({ length: limits.ledgerBatchMessagesMax - 1 }, () => ({
    subject: 'meta.any',
    data: Buffer.alloc(0),
  }))
  t.match(await faultsWith(...far, letters), [/letters without the tick/, /without a fact/])
  const last = world.ledger.all().findLast(({ subject }) => subject === 'log.a')!
  t.match(await faultsWith({ subject: 'log.b', data: last.data }), [/LEDGER_CHAIN_BROKEN/])
})

t.test('a letter that is read twice is found', async (t) => {
  const faults: string[] = []
  const onFault = (text: string): void => void faults.push(text)
  const audit = new LettersAudit({ partitionCount: 0, onFault, onLine: undefined })
  const read = (index: number): void => {
    const frame = new FrameWriter()
    const place = { sequence: 7, index }
    const about = { sender: one, place, time: 0, isWritten: true, isParked: false }
    letterboxKind.writeFact(frame, letterboxId as Eui64, { ...about, type: 'LETTERS_READ' })
    audit.onFact(3, frame.take(), 0, 9)
  }
  read(0)
  read(2)
  t.same(faults, [])
  read(1)
  t.same(faults, ['partition 3, sequence 9: letter 7/1 is read again'])
})
