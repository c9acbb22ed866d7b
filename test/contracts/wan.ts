/**
 * What every Wan does against real sockets, whether the connections are its own or those of another
 * process. `create` gives one whose time is the Trial's; closing it closes everything behind it.
 */
import fc from 'fast-check'
import type { Test } from 'tap'
import { Lane } from '../../core/base/lane.ts'
import type { Wan } from '../../core/ports/wan.ts'
import type { WanOptions } from '../../core/wan/sockets/options.ts'
import {
  aarqTag,
  descriptorOf,
  getTag,
  ScriptedMeter,
  valueOf,
  type Seen,
} from '../core/wan/scripted-meter.ts'
import { get, isAnswer, set, startMeter, Trial } from '../core/wan/trial.ts'

export type CreateWan = (t: Test, options?: Partial<WanOptions>) => Wan | Promise<Wan>

export function wanContract(t: Test, create: CreateWan): void {
  const start = async (test: Test, options: Partial<WanOptions> = {}): Promise<Trial<Wan>> => {
    const meter = await startMeter(test)
    return new Trial(test, await create(test, options), meter)
  }

  t.test('each answer goes to its question, in order, by any operation', async (t) => {
    const trial = await start(t)
    const devices = [1, 2, 3, 700]
    for (let round = 0; round < 3; round++) {
      const results = await Promise.all(
        devices.map((device) => trial.ask(device, [get(device), get(round), get(99)])),
      )
      results.forEach((result, i) =>
        isAnswer(t, result, devices[i]!, [devices[i]!, round, 99], `round ${round}`),
      )
    }
    t.same(await trial.ask(2, [set(1), get(3)]), {
      ok: true,
      results: [
        { value: undefined, result: 0 },
        { value: valueOf(2, descriptorOf(3)), result: 0 },
      ],
    })
  })

  t.test('what goes out is what was asked: descriptor, selection, value', async (t) => {
    const trial = await start(t)
    const descriptor = descriptorOf(7)
    await trial.ask(1, [
      { kind: 'get', descriptor, selection: Buffer.from('011105', 'hex') },
      { kind: 'set', descriptor, value: Buffer.from('1177', 'hex') },
      { kind: 'action', descriptor, value: Buffer.from('0f66', 'hex') },
      { kind: 'action', descriptor },
    ])
    // Tag, type, invoke id, then what was asked; the optional part behind a presence octet.
    const bodies = trial.meter.seen
      .filter(({ tag }) => tag !== aarqTag)
      .map(({ tag, apdu }) => `${tag.toString(16)} ${apdu.subarray(3).toString('hex')}`)
    const name = descriptor.toString('hex')
    t.same(bodies, [`c0 ${name}01011105`, `c1 ${name}001177`, `c3 ${name}010f66`, `c3 ${name}00`])
  })

  t.test('a value of many blocks, and no value at all', async (t) => {
    const trial = await start(t)
    trial.meter.apduBytesMax = 1_024
    const large = Buffer.concat([Buffer.from('09820000', 'hex'), Buffer.alloc(60_000, 7)])
    large.writeUInt16BE(60_000, 2)
    trial.meter.get = (device) => (device === 1 ? large : 4)
    t.same(await trial.ask(1, [get(1)]), { ok: true, results: [{ value: large, result: 0 }] })
    t.same(await trial.ask(2, [get(1)]), { ok: true, results: [{ value: undefined, result: 4 }] })
  })

  t.test('low-level security, and a refused association', async (t) => {
    const trial = await start(t)
    const { meter } = trial
    meter.secret = Buffer.from('12345678')
    const trusted = meter.address(1, 32, Buffer.from('12345678'))
    await trial.answers(trusted, 1, 'right secret')
    const mistaken = meter.address(2, 32, Buffer.from('wrong'))
    const code = 'DEVICE_ASSOCIATION_REFUSED'
    await trial.fails(mistaken, code, /DLMS_ASSOCIATION_REFUSED/, 'wrong secret')
    await trial.answers(trusted, 2, 'the other goes on')
    t.equal(meter.accepted, 1, 'a refusal does not cost the connection')
  })

  t.test('failures have their names, and say why', async (t) => {
    const trial = await start(t)
    const { meter } = trial
    meter.script = (seen) => (seen.tag === getTag ? seen.say(Buffer.of(0xd8, 1, 2)) : seen.answer())
    await trial.fails(1, 'DEVICE_ANSWER_INVALID', /DLMS_EXCEPTION/, 'exception')
    meter.script = () => {}
    await trial.fails(2, 'DEVICE_SILENT', /no association in time/, 'silent')
    meter.script = undefined
    await trial.answers(1, 2, 'next')
    const address = meter.address()
    await meter.stop()
    await trial.fails(address, 'DEVICE_UNREACHABLE', /ECONNREFUSED/, 'nobody')
  })

  t.test('an opaque command goes out as it is, and what comes back is the answer', async (t) => {
    const trial = await start(t)
    const { meter, wan } = trial
    const [here, there] = [meter.address(1), meter.address(2)]
    const ask = async (opaque: Uint8Array, address = here): Promise<string> => {
      const result = await wan.exchange(address, { opaque }, Lane.NORMAL)
      if (!result.ok) return `${result.code} ${result.detail}`
      t.same(result.results, [])
      return Buffer.from(result.answerBytes!).toString('hex')
    }
    const descriptor = descriptorOf(7)
    const opaque = Buffer.from([getTag, 1, 0xc5, ...descriptor, 0])
    const answer = `c401c500${valueOf(1, descriptor).toString('hex')}`
    t.equal(await ask(opaque), answer, 'the device answers')
    await trial.answers(1, 1, 'COSEM operations in the same association')
    t.equal(await ask(opaque), answer, 'and once more')
    t.equal(meter.count(aarqTag), 1)
    t.same(
      meter.seen.filter(({ apdu }) => apdu.equals(opaque)).length,
      2,
      'these octets and no others',
    )
    for (const octets of ['d80101', 'c401c10109', 'df01', '00']) {
      meter.script = (seen) => seen.say(Buffer.from(octets, 'hex'))
      t.equal(await ask(Buffer.of(0xdf, 9)), octets, 'it is not read')
    }
    const large = Buffer.alloc(60_000, 0xdf)
    meter.script = (seen) => seen.say(large)
    t.equal(await ask(Buffer.of(0xdf)), large.toString('hex'), 'many octets')
    meter.script = () => {}
    t.match(await ask(opaque), /^DEVICE_SILENT no answer in time/)
    t.match(await ask(opaque, there), /^DEVICE_SILENT no association in time/)
    meter.script = (seen) => void seen.socket.write('no frame at all')
    t.match(await ask(opaque), /^DEVICE_ANSWER_INVALID/)
    meter.script = undefined
    await meter.stop()
    t.match(await ask(opaque), /^DEVICE_UNREACHABLE/)
  })

  t.test('urgent before normal before bulk', async (t) => {
    const trial = await start(t, { exchangesPerConnectionMax: 1, responseMs: 1e12 })
    const order: number[] = []
    let held: Seen | undefined
    trial.meter.script = (seen) => {
      if (seen.tag === getTag && !held) held = seen
      else seen.answer()
    }
    const ask = (device: number, lane: Lane): Promise<unknown> =>
      trial.ask(device, [get(1)], lane).then(() => order.push(device))
    const asked = [ask(1, Lane.BULK), ask(2, Lane.NORMAL), ask(3, Lane.URGENT), ask(4, Lane.NORMAL)]
    await trial.meter.until(() => held !== undefined)
    held!.answer()
    await Promise.all(asked)
    t.same(order, [3, 2, 4, 1])
  })

  t.test('close is final', async (t) => {
    const trial = await start(t)
    await trial.answers(1, 1, 'before')
    await trial.wan.close()
    await trial.meter.until(() => trial.meter.ended === 1)
    await trial.fails(1, 'DEVICE_UNREACHABLE', /closing/, 'afterwards')
    await trial.wan.close()
  })

  t.test('property: every exchange ends, and no answer goes to another question', async (t) => {
    const fault = fc.oneof(
      { weight: 3, arbitrary: fc.constant('answer' as const) },
      { weight: 4, arbitrary: fc.constantFrom('hold' as const, 'late' as const) },
      { weight: 4, arbitrary: fc.constantFrom(...faults) },
    )
    const plan = fc.array(fault, { minLength: 4, maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(plan, fc.integer({ min: 1, max: 4 }), async (names, devices) => {
        const meter = await ScriptedMeter.start()
        const wan = await create(t, { responseMs: 60 })
        const ask = async (device: number, number: number): Promise<boolean> => {
          const result = await wan.exchange(
            meter.address(device),
            { cosem: [get(number)] },
            Lane.NORMAL,
          )
          if (!result.ok) return false
          const value = Buffer.from(result.results[0]!.value!)
          if (value.equals(valueOf(device, descriptorOf(number)))) return true
          throw new Error(`device ${device}, question ${number}: ${value.toString('hex')}`)
        }
        try {
          meter.script = faulty(names)
          await Promise.all(
            Array.from({ length: devices }, async (_, i) => {
              for (let question = 0; question < 6; question++) await ask(i + 1, question)
            }),
          )
          // When the faults stop, everybody is served: a connection in doubt costs one more try.
          meter.script = undefined
          for (let device = 1; device <= devices; device++) {
            const isServed = (await ask(device, 100)) || (await ask(device, 101))
            if (!isServed) throw new Error(`device ${device} is not served again`)
          }
        } finally {
          await wan.close()
          await meter.stop()
        }
      }),
      { numRuns: 40 },
    )
  })
}

const faults = ['answer', 'hold', 'late', 'garbage', 'stray', 'drop', 'noFrame'] as const
type FaultName = (typeof faults)[number]

/** Does to each APDU what stands next in `plan`, over and over. */
function faulty(plan: readonly FaultName[]): (seen: Seen) => void {
  const held: Seen[] = []
  let step = 0
  return (seen) => {
    switch (plan[step++ % plan.length]!) {
      case 'answer':
        return seen.answer()
      case 'hold':
        return void held.push(seen)
      case 'late':
        // Everything held so far comes now, in order and in front.
        for (const late of held.splice(0)) if (!late.socket.destroyed) late.answer()
        return seen.answer()
      case 'garbage':
        return seen.say(Buffer.of(0xc4, 9, 9))
      case 'stray':
        seen.answer()
        return seen.say(Buffer.of(0x0e, 1, 1, 1))
      case 'drop':
        return void seen.socket.destroy()
      case 'noFrame':
        return void seen.socket.write('no frame at all')
    }
  }
}
