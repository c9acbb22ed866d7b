/**
 * The WAN pool against real sockets and every fault a device or its line can have; chance ones:
 * test/contracts/wan.ts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { platform } from 'node:process'
import t from 'tap'
import { Lane } from '../../../core/base/lane.ts'
import { limits } from '../../../core/base/limits.ts'
import type { DevicePush, ExchangeResult } from '../../../core/ports/wan.ts'
import { encodeAare } from '../../support/acse.ts'
import { aarqTag, getTag, setTag, valueOf, type Seen } from './scripted-meter.ts'
import { get, isAnswer, isFailure, set, startMeter, startWan, Trial, turn } from './trial.ts'

t.test(
  'nobody listens: the address is known to be dead for a while, then tried again',
  async (t) => {
    const trial = await Trial.start(t, { deadAddressMs: 3_000 })
    const { meter } = trial
    const address = meter.address()
    await meter.stop()
    await trial.fails(address, 'DEVICE_UNREACHABLE', /ECONNREFUSED/, 'refused')
    const again = await startMeter(t, address.port)
    await trial.fails(address, 'DEVICE_UNREACHABLE', /ECONNREFUSED/, 'remembered')
    t.equal(again.accepted, 0)
    t.equal(trial.wan.counts.endpoints, 1)
    while (trial.wan.counts.endpoints > 0) await turn()
    await trial.answers(address, 1, 'and then tried again')
  },
)

const onLinux = { skip: platform !== 'linux' && 'needs 127.0.0.0/8' }
t.test('a host that drops connection attempts', onLinux, async (t) => {
  // A stopped process accepts nothing; the kernel takes what its queue holds and drops the other
  // attempts.
  const script = `require('net').createServer().listen({ port: 0, host: '0.0.0.0', backlog: 1 }, function () { console.log(this.address().port) })`
  const listener = spawn(process.execPath, ['-e', script])
  t.teardown(() => listener.kill('SIGKILL'))
  const port = Number(String((await once(listener.stdout, 'data'))[0]))
  listener.kill('SIGSTOP')
  const wan = startWan(t, { connectMs: 4_000 })
  const results = await Promise.all(
    [1, 2, 3, 4, 5, 6].map((last) =>
      wan.exchange(
        { host: `127.0.0.${last}`, port, logicalDevice: 1, client: 16 },
        { cosem: [get(1)] },
        Lane.NORMAL,
      ),
    ),
  )
  const late = results.filter((result) => !result.ok && result.code === 'DEVICE_UNREACHABLE')
  t.ok(late.length >= 3, `${late.length} were not connected`)
  isFailure(t, late[0]!, 'DEVICE_UNREACHABLE', /no connection in time/, 'unanswered attempt')
  t.ok(
    results.every((result) => !result.ok),
    'and a connection nobody serves is silence',
  )
})

t.test(
  'silence on a connection of its own: cut, and the next exchange is not confused',
  async (t) => {
    const trial = await Trial.start(t)
    const { meter } = trial
    let held: Seen | undefined
    meter.script = (seen) => {
      if (seen.tag === getTag && !held) held = seen
      else seen.answer()
    }
    await trial.fails(1, 'DEVICE_SILENT', /no answer in time/, 'silent')
    await meter.until(() => meter.ended === 1)
    await trial.answers(1, 2, 'next')
    t.equal(meter.accepted, 2)
  },
)

const lateOrders = [
  'late answer before the AARE',
  'late answer after the AARE',
  'late answer before the next exchange',
  'late AARE',
  'never',
] as const
for (const order of lateOrders) {
  t.test(`a slow device behind a hub, ${order}: the hub keeps its connection`, async (t) => {
    const trial = await Trial.start(t)
    const { meter } = trial
    await trial.answers(1, 1, 'before')
    await trial.answers(2, 1, 'before')
    // Device 2 keeps the connection at work: each of its answers makes the test ask again.
    let isBusy = true
    let busyCount = 0
    const busy = (async () => {
      while (isBusy) {
        const result = await trial.ask(2, [get(busyCount)])
        if (!result.ok) return t.fail(`device 2: ${result.code} ${result.detail}`)
        busyCount++
      }
    })()
    let held: Seen | undefined
    let heldAarq: Seen | undefined
    meter.script = (seen) => {
      const isFirst = seen.device === 1
      if (isFirst && seen.tag === getTag && !held) held = seen
      else if (isFirst && seen.tag === aarqTag && order === 'late AARE' && !heldAarq)
        heldAarq = seen
      else {
        if (isFirst && seen.tag === aarqTag) {
          if (order === 'late answer before the AARE') held!.answer()
          if (order === 'late AARE') heldAarq!.answer()
        }
        seen.answer()
        if (isFirst && seen.tag === aarqTag && order === 'late answer after the AARE')
          held!.answer()
      }
    }
    await trial.fails(1, 'DEVICE_SILENT', /no answer in time/, 'silent')
    if (order === 'late answer before the next exchange') {
      held!.answer()
      const before = busyCount
      while (isBusy && busyCount < before + 3) await turn()
    }
    if (order === 'late AARE')
      await trial.fails(1, 'DEVICE_SILENT', /no association in time/, 'silent again')
    await trial.answers(1, 4, 'the right answer')
    await trial.answers(1, 5, 'and the one after it')
    isBusy = false
    await busy
    t.ok(busyCount > 3)
    t.equal(meter.accepted, 1, 'one connection all the time')
    t.equal(meter.count(aarqTag, 2), 1, 'device 2 was left alone')
  })
}

t.test(
  'a device that will not associate again after a time-out gets a new connection',
  async (t) => {
    const trial = await Trial.start(t)
    const { meter } = trial
    let isBusy = true
    const busy = (async () => {
      while (isBusy) {
        const result = await trial.ask(2, [get(1)])
        if (!result.ok) return t.fail(`device 2: ${result.code} ${result.detail}`)
      }
    })()
    let isSilent = true
    let associations = 0
    meter.script = (seen) => {
      // Refuses a second association on one connection, as a device does that thinks it has one.
      const isOurs = seen.device === 1 && seen.tag === aarqTag
      if (isOurs && ++associations === 2) seen.say(encodeAare({ result: 1, diagnostic: 1 }))
      else if (seen.device !== 1 || seen.tag !== getTag || !isSilent) seen.answer()
    }
    await trial.fails(1, 'DEVICE_SILENT', /no answer in time/, 'silent')
    isSilent = false
    await trial.fails(
      1,
      'DEVICE_ASSOCIATION_REFUSED',
      /DLMS_ASSOCIATION_REFUSED/,
      'refused in doubt',
    )
    await trial.answers(1, 3, 'on a new connection')
    isBusy = false
    await busy
    t.equal(meter.accepted, 2)
  },
)

t.test('a hub that falls silent altogether is given up', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  await Promise.all([1, 2].map((device) => trial.answers(device, 1, 'before')))
  let isSilent = true
  meter.script = (seen) => {
    if (!isSilent) seen.answer()
  }
  await Promise.all(
    [1, 2].map((device) => trial.fails(device, 'DEVICE_SILENT', /no answer in time/, 'silent')),
  )
  isSilent = false
  await trial.answers(2, 3, 'next')
  t.equal(meter.accepted, 2)
})

t.test('a connection that drops', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  meter.script = (seen) => {
    if (seen.tag !== getTag) seen.answer()
    else seen.socket.write(seen.truth().subarray(0, 11), () => seen.socket.destroy())
  }
  await trial.fails(1, 'DEVICE_SILENT', /closed by the device|ECONNRESET/, 'in the middle')
  meter.script = (seen) => void seen.socket.resetAndDestroy()
  await trial.fails(1, 'DEVICE_SILENT', /ECONNRESET/, 'reset')
  meter.script = undefined
  await trial.answers(1, 2, 'and comes back')
  for (const socket of meter.sockets) socket.destroy()
  await meter.until(() => meter.sockets.size === 0)
  await trial.answers(1, 3, 'dropped while idle')
})

t.test(
  'a kept connection that is gone is replaced once, unless the device may have acted',
  async (t) => {
    const trial = await Trial.start(t)
    const { meter } = trial
    const gone = /closed|ECONNRESET/
    const dropOn = (connection: number) => (seen: Seen) => {
      if (seen.connection <= connection) seen.socket.destroy()
      else seen.answer()
    }
    await trial.answers(1, 1, 'first')
    meter.script = dropOn(1)
    await trial.answers(1, 2, 'a GET is asked again')
    t.equal(meter.accepted, 2)
    meter.script = dropOn(2)
    await trial.fails(1, 'DEVICE_SILENT', gone, 'a SET is not', [set(3)])
    t.equal(meter.count(setTag), 1)
    meter.script = undefined
    await trial.answers(1, 4, 'next')
    meter.script = dropOn(99)
    await trial.fails(1, 'DEVICE_SILENT', gone, 'once only')
    meter.script = undefined
    await trial.answers(1, 6, 'next')
    meter.script = dropOn(meter.accepted)
    isAnswer(t, tail(await trial.ask(9, [set(6), get(7)])), 9, [7], 'a SET whose AARQ was lost')
    t.equal(meter.count(setTag, 9), 1)
  },
)

const tail = (result: ExchangeResult): ExchangeResult =>
  result.ok ? { ok: true, results: result.results.slice(1) } : result

t.test('nonsense', async (t) => {
  const cases: Array<{
    what: string
    detail: RegExp
    script(seen: Seen): void
    apduBytesMax?: number
    get?: () => Buffer
  }> = [
    {
      what: 'garbage APDU',
      detail: /DLMS_SERVICE_UNEXPECTED/,
      script: (seen) => seen.say(Buffer.from('garbage')),
    },
    {
      what: 'wrong invoke id',
      detail: /DLMS_INVOKE_ID_WRONG/,
      script(seen) {
        const frame = seen.truth()
        frame[10]! ^= 5
        seen.socket.write(frame)
      },
    },
    {
      what: 'wrong block number',
      detail: /DLMS_BLOCK_NUMBER_WRONG/,
      apduBytesMax: 256,
      get: () => Buffer.concat([Buffer.of(9, 0x82, 4, 0), Buffer.alloc(1024, 7)]),
      script(seen) {
        const frame = seen.truth()
        frame.writeUInt32BE(frame.readUInt32BE(12) + 1, 12)
        seen.socket.write(frame)
      },
    },
    {
      what: 'too much',
      detail: /DLMS_SIZE_EXCEEDED/,
      script(seen) {
        // Blocks without an end, each as large as a frame can be.
        const number = seen.apdu[1] === 2 ? seen.apdu.readUInt32BE(3) + 1 : 1
        const block = Buffer.alloc(60_000, 9)
        block.set([
          0xc4,
          2,
          seen.apdu[2]!,
          0,
          0,
          0,
          0,
          number,
          0,
          0x82,
          (60_000 - 12) >> 8,
          (60_000 - 12) & 255,
        ])
        seen.say(block)
      },
    },
    {
      what: 'cut short',
      detail: /DLMS_LENGTH_INVALID/,
      script: (seen) => seen.say(Buffer.of(0xc4, 1, seen.apdu[2]!, 0, 9, 200)),
    },
  ]
  for (const { what, detail, script, apduBytesMax, get: value } of cases) {
    const trial = await Trial.start(t, { responseMs: 1e12 })
    const { meter } = trial
    if (apduBytesMax) meter.apduBytesMax = apduBytesMax
    if (value)
      meter.get = (device, descriptor) => (device === 1 ? value() : valueOf(device, descriptor))
    let held: Seen | undefined
    meter.script = (seen) => {
      if (seen.device === 1 && seen.tag === getTag) script(seen)
      else if (seen.device === 2 && seen.tag === getTag && !held) held = seen
      else seen.answer()
    }
    const other = trial.answers(2, 1, `${what}: the other device behind the connection is answered`)
    await meter.until(() => held !== undefined)
    await trial.fails(1, 'DEVICE_ANSWER_INVALID', detail, what)
    held!.answer()
    await other
    t.equal(meter.accepted, 1)
    meter.script = undefined
    meter.get = valueOf
    await trial.answers(1, 2, `${what}: next`)
  }
})

t.test('octets that are no frame close the connection', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  meter.script = (seen) => {
    if (seen.tag !== getTag) seen.answer()
    else if (seen.device === 1) seen.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
  }
  await Promise.all(
    [2, 1].map((device) =>
      trial.fails(device, 'DEVICE_ANSWER_INVALID', /DLMS_WRAPPER_INVALID/, 'no frame'),
    ),
  )
  meter.script = undefined
  await trial.answers(1, 2, 'next')
})

t.test('a device that does not read what it makes us say', async (t) => {
  const trial = await Trial.start(t, { unreadBytesMax: 100_000, exchangeMs: 20_000 })
  const { meter } = trial
  // A general block out of order, which is acknowledged each time; every now and then one in order,
  // so that it is no useless flood.
  const block = Buffer.of(0, 1, 0, 1, 0, 16, 0, 8, 0xe0, 1, 0xff, 0xff, 0, 0, 1, 0)
  const useless = Array.from({ length: 400 }, () => block)
  let number = 0
  const blocks = (): Buffer => {
    const next = Buffer.from(block)
    next.writeUInt16BE(++number, 10)
    return Buffer.concat([next, ...useless])
  }
  meter.script = (seen) => {
    if (seen.tag !== getTag) return seen.answer()
    const { socket } = seen
    socket.pause()
    const flood = (): void => {
      while (!socket.destroyed && socket.write(blocks()));
      socket.once('drain', flood)
    }
    flood()
  }
  await trial.fails(1, 'DEVICE_SILENT', /does not read/, 'it is cut')
  meter.script = undefined
  await trial.answers(1, 2, 'next')
})

t.test('a device that floods with general blocks', async (t) => {
  const trial = await Trial.start(t)
  const { meter } = trial
  const block = Buffer.of(0xe0, 0x41, 0, 5, 0, 0, 1, 0)
  meter.script = (seen) => {
    if (seen.tag !== getTag) return seen.answer()
    for (let i = 0; i <= limits.generalBlocksUselessMax; i++) seen.say(block)
  }
  await trial.fails(1, 'DEVICE_ANSWER_INVALID', /no-general-blocks/, 'it ends, and says what helps')
  meter.script = undefined
  await trial.answers(1, 2, 'next')
})

// The wrapped APDU: a data-notification of one octet-string.
const notification = Buffer.of(0x0f, 0, 0, 0, 1, 0, 9, 1, 0x41)

t.test('notifications in front of answers, of the association too', async (t) => {
  const pushes: DevicePush[] = []
  const trial = await Trial.start(t, { onPush: (push) => void pushes.push(push) })
  const { meter } = trial
  meter.script = (seen) => {
    seen.say(notification)
    seen.answer()
  }
  await trial.answers(1, 1, 'the first')
  await trial.answers(1, 2, 'the next')
  t.equal(pushes.length, 3)
  meter.script = (seen) => {
    for (let i = 0; i < 2_000; i++) seen.say(notification)
  }
  await trial.fails(1, 'DEVICE_ANSWER_INVALID', /flooded/, 'a flood in place of an answer')
  t.equal(pushes.length, 3 + limits.wanUnsolicitedFramesMax + 1)
  meter.script = undefined
  await trial.answers(1, 3, 'next')
})
