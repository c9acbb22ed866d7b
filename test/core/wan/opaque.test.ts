/**
 * Opaque commands: an APDU goes to the device as it is, over every transport, and what came back is
 * the answer. What they may be confused with, and where they are refused. What holds for every Wan
 * stands in test/contracts/wan.ts.
 */
import t from 'tap'
import { Lane } from '../../../core/base/lane.ts'
import { limits } from '../../../core/base/limits.ts'
import { Secret } from '../../../core/crypto/crypto.ts'
import { decodeValue } from '../../../core/dlms/axdr/axdr.ts'
import type { DeviceAddress, ExchangeResult, Transport } from '../../../core/ports/wan.ts'
import { vault } from '../../support/keys.ts'
import { FleetTrial, identity, isItself, sharesOf } from './fleet-trial.ts'
import { descriptorOf, getTag, valueOf, type Seen } from './scripted-meter.ts'
import { get, isAnswer, isFailure, Trial } from './trial.ts'

/** GET-request-normal with this invoke id. */
const getRequest = (descriptor: Uint8Array, invokeId = 5): Buffer =>
  Buffer.from([0xc0, 1, 0xc0 | invokeId, ...descriptor, 0])
const getResponse = (value: Uint8Array, invokeId = 5): Buffer =>
  Buffer.from([0xc4, 1, 0xc0 | invokeId, 0, ...value])

const answerOf = (result: ExchangeResult): string =>
  result.ok ? Buffer.from(result.answerBytes!).toString('hex') : `${result.code} ${result.detail}`
const ask = (trial: Trial, opaque: Uint8Array, device: number | DeviceAddress = 1) =>
  trial.wan.exchange(
    typeof device === 'number' ? trial.meter.address(device) : device,
    { opaque },
    Lane.NORMAL,
  )

for (const transport of ['tcp', 'udp', 'hdlc'] as const satisfies Transport[])
  t.test(`a simulated meter answers octets with octets over ${transport}`, async (t) => {
    const trial = await FleetTrial.start(t, { transport })
    for (let round = 0; round < 2; round++)
      for (const index of [0, 1, 4]) {
        const command = { opaque: getRequest(identity.descriptor, 3 + round) }
        const address = trial.addressOf(index)
        const result = await trial.wan.exchange(address, command, Lane.NORMAL)
        if (!result.ok) return void t.fail(`${result.code} ${result.detail}`)
        t.same(result.results, [])
        t.equal(result.counters, undefined)
        const answer = Buffer.from(result.answerBytes!)
        t.equal(answer.subarray(0, 4).toString('hex'), `c401c${3 + round}00`)
        const value = answer.subarray(4)
        t.ok('value' in decodeValue(value), 'a value and nothing behind it')
        isItself(t, index, { ok: true, results: [{ result: 0, value }] })
        isItself(t, index, await trial.ask(index, [identity]), 'COSEM operations beside it')
      }
    t.equal(trial.wan.counts.exchanges, 0)
  })

t.test('under a sealed secret it goes inside the association, and no counter moves', async (t) => {
  const trial = await FleetTrial.start(t, { secretShare: 1 })
  const { secret, ...address } = trial.addressOf(0)
  const device = trial.deviceOf(0)
  const sealedKeys = vault.seal(device, { secret: new Secret(Buffer.from(secret!)) })
  const security = { device, sealedKeys, counters: { from: 7, to: 9, received: 3 } }
  const command = { opaque: getRequest(identity.descriptor) }
  const result = await trial.wan.exchange(address, command, Lane.NORMAL, security)
  t.match(answerOf(result), /^c401c500/)
  t.same(result.counters, { next: 7, received: 3 })
})

t.test('under a security suite it is refused, and nothing is sent', async (t) => {
  const trial = await FleetTrial.start(t, { securityShares: sharesOf(0) })
  const address = trial.addressOf(0)
  // Of a device that was never heard Busbar reads the counter first, but not for this.
  const counters = { from: 7, to: 9, received: -1 }
  const command = { opaque: getRequest(identity.descriptor) }
  for (const security of [trial.securityOf(0, counters), undefined]) {
    const result = await trial.wan.exchange(address, command, Lane.NORMAL, security)
    isFailure(t, result, 'DEVICE_UNREACHABLE', /^DLMS_OPAQUE_UNFIT/, 'refused')
    t.same(result.counters, security && { next: 7, received: -1 })
  }
  t.equal(trial.fleet.counts.connections, 0)
})

t.test('a pre-established association needs no AARQ', async (t) => {
  const trial = await Trial.start(t)
  trial.meter.script = (seen) => seen.say(Buffer.of(0xdf, ...seen.apdu))
  const address = { ...trial.meter.address(1), profile: 'pre-established' }
  t.equal(answerOf(await ask(trial, Buffer.from('dd0102', 'hex'), address)), 'dfdd0102')
  t.same(
    trial.meter.seen.map(({ apdu }) => apdu.toString('hex')),
    ['dd0102'],
  )
})

t.test('a notification in the clear in front of the answer is one', async (t) => {
  const pushed: string[] = []
  const trial = await Trial.start(t, {
    onPush: ({ apduBytes }) => void pushed.push(apduBytes.toString('hex')),
  })
  trial.meter.script = (seen) => {
    if (seen.tag === getTag) seen.say(Buffer.from('0f00000001000200', 'hex'))
    seen.answer()
  }
  const answer = getResponse(valueOf(1, descriptorOf(4)))
  t.equal(answerOf(await ask(trial, getRequest(descriptorOf(4)))), answer.toString('hex'))
  t.same(pushed, ['0f00000001000200'])
})

t.test('what may have been carried out is not sent again', async (t) => {
  const trial = await Trial.start(t)
  await trial.answers(1, 1, 'the connection is kept')
  trial.meter.script = (seen) => (seen.tag === getTag ? seen.socket.destroy() : seen.answer())
  isFailure(t, await ask(trial, getRequest(descriptorOf(2))), 'DEVICE_SILENT', /./, 'dropped')
  t.equal(trial.meter.count(getTag), 2)
})

t.test('more octets than may be sent are refused, and the rest goes on', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  const large = Buffer.alloc(meter.apduBytesMax + 1, 0xdf)
  isFailure(t, await ask(trial, large), 'DEVICE_ANSWER_INVALID', /^DLMS_SIZE_EXCEEDED/, 'device')
  const huge = Buffer.alloc(limits.apduBytesMax + 1, 0xdf)
  const own = { ...meter.address(2), profile: 'pre-established' }
  isFailure(t, await ask(trial, huge, own), 'DEVICE_UNREACHABLE', /^DLMS_SIZE_EXCEEDED/, 'Busbar')
  const none = await ask(trial, Buffer.alloc(0))
  isFailure(t, none, 'DEVICE_UNREACHABLE', /^DLMS_STATE_INVALID/, 'nothing to send')
  t.equal(meter.count(0xdf), 0)
  await trial.answers(1, 1, 'afterwards')
})

/** Device 2 keeps the connection at work until it is ended: each answer makes it ask again. */
function keepBusy(trial: Trial): () => Promise<void> {
  let isBusy = true
  const done = (async () => {
    while (isBusy) {
      const result = await trial.ask(2, [get(1)])
      if (!result.ok) return void trial.test.fail(`device 2: ${result.code} ${result.detail}`)
    }
  })()
  return () => {
    isBusy = false
    return done
  }
}

/** The first GET of device 1 is answered late: in front of its next answer on that connection. */
function answerLate(trial: Trial): void {
  let held: Seen | undefined
  trial.meter.script = (seen) => {
    if (seen.device !== 1 || seen.tag !== getTag) return seen.answer()
    if (held === undefined) return void (held = seen)
    if (held.connection === seen.connection) held.answer()
    seen.answer()
  }
}

for (const next of ['opaque', 'cosem'] as const)
  for (const isQueued of [false, true]) {
    const what = `${next}${isQueued ? ', in the queue' : ''}`
    t.test(`a late answer to an opaque command is not that to the next: ${what}`, async (t) => {
      const trial = await Trial.start(t)
      const { meter } = trial
      await Promise.all([1, 2].map((device) => trial.answers(device, 1, 'before')))
      answerLate(trial)
      const end = keepBusy(trial)
      // The invoke id is the one that the next exchange has.
      const first = ask(trial, getRequest(descriptorOf(1), 2))
      if (!isQueued) await first
      const second =
        next === 'opaque' ? ask(trial, getRequest(descriptorOf(2))) : trial.ask(1, [get(2)])
      isFailure(t, await first, 'DEVICE_SILENT', /no answer in time/, 'given up')
      const value = valueOf(1, descriptorOf(2))
      if (next === 'opaque') t.equal(answerOf(await second), getResponse(value).toString('hex'))
      else isAnswer(t, await second, 1, [2], 'COSEM')
      t.equal(meter.accepted, 2, 'on another connection')
      await end()
    })
  }

t.test('a late answer to COSEM operations is not that to an opaque command', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  await Promise.all([1, 2].map((device) => trial.answers(device, 1, 'before')))
  answerLate(trial)
  const end = keepBusy(trial)
  await trial.fails(1, 'DEVICE_SILENT', /no answer in time/, 'given up')
  const opaque = Buffer.from(
    meter.seen.findLast(({ device, tag }) => device === 1 && tag === getTag)!.apdu,
  )
  opaque.set(descriptorOf(2), 3)
  const answer = getResponse(valueOf(1, descriptorOf(2)), opaque[2]! & 15)
  t.equal(answerOf(await ask(trial, opaque)), answer.toString('hex'))
  t.equal(meter.accepted, 2, 'on another connection')
  await end()
})
