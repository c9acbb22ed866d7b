/** The WAN pool against real sockets and every fault a device or its line can have. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { platform } from 'node:process'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Lane } from '../../../core/base/lane.ts'
import type { CosemOperation, ExchangeResult } from '../../../core/ports/wan.ts'
import type { WanOptions } from '../../../core/wan/options.ts'
import { TcpWan } from '../../../core/wan/pool.ts'
import {
  aarqTag,
  descriptorOf,
  getTag,
  rlrqTag,
  ScriptedMeter,
  setTag,
  valueOf,
  type Seen,
} from './scripted-meter.ts'

const quick = {
  responseMs: 80,
  sweepMs: 4,
  connectMs: 400,
  exchangeMs: 4_000,
  releaseMs: 300,
} satisfies Partial<WanOptions>

async function start(
  test: Test,
  options: Partial<WanOptions> = {},
): Promise<{ wan: TcpWan; meter: ScriptedMeter }> {
  const meter = await ScriptedMeter.start()
  const wan = new TcpWan({ ...quick, ...options })
  test.teardown(async () => {
    await wan.close()
    await meter.stop()
  })
  return { wan, meter }
}

const get = (number: number): CosemOperation => ({ kind: 'get', descriptor: descriptorOf(number) })
const set = (number: number): CosemOperation => ({
  kind: 'set',
  descriptor: descriptorOf(number),
  value: Buffer.of(17, 1),
})

function isAnswer(
  test: Test,
  result: ExchangeResult,
  device: number,
  numbers: number[],
  what: string,
): void {
  if (!result.ok) return void test.fail(`${what}: ${result.code} ${result.detail}`)
  test.same(
    result.results.map(({ value }) => Buffer.from(value!).toString('hex')),
    numbers.map((number) => valueOf(device, descriptorOf(number)).toString('hex')),
    what,
  )
}

function isFailure(
  test: Test,
  result: ExchangeResult,
  code: string,
  detail: RegExp,
  what: string,
): void {
  test.equal(result.ok ? 'OK' : result.code, code, what)
  if (!result.ok) test.match(result.detail, detail, `${what}: it says why`)
}

t.test(
  'one connection carries many devices, associates each once, and is used again',
  async (t) => {
    const { wan, meter } = await start(t)
    for (let round = 0; round < 3; round++) {
      const results = await Promise.all(
        [1, 2, 3, 700].map((device) =>
          wan.exchange(meter.address(device), [get(device), get(round), get(99)], Lane.NORMAL),
        ),
      )
      results.forEach((result, i) =>
        isAnswer(t, result, [1, 2, 3, 700][i]!, [[1, 2, 3, 700][i]!, round, 99], `round ${round}`),
      )
    }
    t.equal(meter.accepted, 1)
    t.equal(meter.count(aarqTag), 4)
    isAnswer(
      t,
      await wan.exchange(meter.address(1, 32), [get(5)], Lane.NORMAL),
      1,
      [5],
      'another client address',
    )
    t.equal(meter.count(aarqTag, 1), 2, 'is another association')
    t.equal(meter.accepted, 1)
    const wrote = await wan.exchange(meter.address(2), [set(1), get(3)], Lane.URGENT)
    t.same(wrote, {
      ok: true,
      results: [
        { value: undefined, result: 0 },
        { value: valueOf(2, descriptorOf(3)), result: 0 },
      ],
    })
    t.match(wan.counts, { exchanges: 0, connections: 1, idle: 1, endpoints: 1 })
  },
)

t.test('frames of a turn go out in one write', async (t) => {
  const { wan, meter } = await start(t)
  await wan.exchange(meter.address(1), [get(1)], Lane.NORMAL)
  const [socket] = meter.sockets
  const chunks: number[] = []
  socket!.on('data', (chunk: Buffer) => chunks.push(chunk.length))
  await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      wan.exchange(meter.address(100 + i), [get(1)], Lane.NORMAL),
    ),
  )
  t.ok(chunks[0]! > 50 * 30, `the fifty AARQs came together: ${chunks[0]} octets`)
})

t.test('two exchanges with one device at once run one after the other', async (t) => {
  const { wan, meter } = await start(t)
  const results = await Promise.all(
    [1, 2, 3].map((number) => wan.exchange(meter.address(), [get(number)], Lane.NORMAL)),
  )
  results.forEach((result, i) => isAnswer(t, result, 1, [i + 1], 'in order'))
  t.equal(meter.count(aarqTag), 1)
})

t.test('low-level security, and a refused association', async (t) => {
  const { wan, meter } = await start(t)
  meter.secret = Buffer.from('12345678')
  isAnswer(
    t,
    await wan.exchange(meter.address(1, 32, Buffer.from('12345678')), [get(1)], Lane.NORMAL),
    1,
    [1],
    'right secret',
  )
  const refused = await wan.exchange(
    meter.address(2, 32, Buffer.from('wrong')),
    [get(1)],
    Lane.NORMAL,
  )
  isFailure(t, refused, 'DEVICE_ASSOCIATION_REFUSED', /DLMS_ASSOCIATION_REFUSED/, 'wrong secret')
  isAnswer(
    t,
    await wan.exchange(meter.address(1, 32, Buffer.from('12345678')), [get(2)], Lane.NORMAL),
    1,
    [2],
    'the other goes on',
  )
  t.equal(meter.accepted, 1, 'a refusal does not cost the connection')
})

t.test('nobody listens', async (t) => {
  const { wan, meter } = await start(t, { deadAddressMs: 60_000 })
  const address = meter.address()
  await meter.stop()
  isFailure(
    t,
    await wan.exchange(address, [get(1)], Lane.NORMAL),
    'DEVICE_UNREACHABLE',
    /ECONNREFUSED/,
    'refused',
  )
  const again = await ScriptedMeter.start(address.port)
  t.teardown(() => again.stop())
  isFailure(
    t,
    await wan.exchange(address, [get(1)], Lane.NORMAL),
    'DEVICE_UNREACHABLE',
    /ECONNREFUSED/,
    'remembered for a while',
  )
  t.equal(again.accepted, 0)
  const other = new TcpWan({ ...quick, deadAddressMs: 0 })
  isAnswer(t, await other.exchange(address, [get(1)], Lane.NORMAL), 1, [1], 'and then tried again')
  await other.close()
})

t.test('an address that failed is forgotten, and works again', async (t) => {
  const { wan, meter } = await start(t, { deadAddressMs: 20 })
  const address = meter.address()
  await meter.stop()
  isFailure(
    t,
    await wan.exchange(address, [get(1)], Lane.NORMAL),
    'DEVICE_UNREACHABLE',
    /ECONNREFUSED/,
    'refused',
  )
  const again = await ScriptedMeter.start(address.port)
  t.teardown(() => again.stop())
  for (;;) {
    const result = await wan.exchange(address, [get(7)], Lane.NORMAL)
    if (result.ok) return isAnswer(t, result, 1, [7], 'reached')
    await new Promise(setImmediate)
  }
})

t.test(
  'a host that drops connection attempts',
  { skip: platform !== 'linux' && 'needs 127.0.0.0/8' },
  async (t) => {
    // A stopped process accepts nothing; the kernel takes what its queue holds and drops the other attempts.
    const listener = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen({ port: 0, host: '0.0.0.0', backlog: 1 }, function () { console.log(this.address().port) })`,
    ])
    t.teardown(() => listener.kill('SIGKILL'))
    const port = Number(String((await once(listener.stdout, 'data'))[0]))
    listener.kill('SIGSTOP')
    const wan = new TcpWan({ ...quick, connectMs: 150, responseMs: 100 })
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        wan.exchange(
          { host: `127.0.0.${i + 1}`, port, logicalDevice: 1, client: 16 },
          [get(1)],
          Lane.NORMAL,
        ),
      ),
    )
    await wan.close()
    const late = results.filter((result) => !result.ok && result.code === 'DEVICE_UNREACHABLE')
    t.ok(late.length >= 3, `${late.length} were not connected`)
    isFailure(t, late[0]!, 'DEVICE_UNREACHABLE', /no connection in time/, 'unanswered attempt')
    t.ok(
      results.every((result) => !result.ok),
      'and a connection nobody serves is silence',
    )
  },
)

t.test(
  'silence on a connection of its own: cut, and the next exchange is not confused',
  async (t) => {
    const { wan, meter } = await start(t)
    let held: Seen | undefined
    meter.script = (seen) => {
      if (seen.tag === getTag && !held) held = seen
      else seen.answer()
    }
    isFailure(
      t,
      await wan.exchange(meter.address(), [get(1)], Lane.NORMAL),
      'DEVICE_SILENT',
      /no answer in time/,
      'silent',
    )
    await meter.until(() => meter.ended === 1)
    isAnswer(t, await wan.exchange(meter.address(), [get(2)], Lane.NORMAL), 1, [2], 'next')
    t.equal(meter.accepted, 2)
  },
)

t.test('silence from the start', async (t) => {
  const { wan, meter } = await start(t)
  meter.script = () => {}
  isFailure(
    t,
    await wan.exchange(meter.address(), [get(1)], Lane.NORMAL),
    'DEVICE_SILENT',
    /no association in time/,
    'silent',
  )
})

t.test(
  'a slow device behind a hub: late answers go to nobody, the hub keeps its connection',
  async (t) => {
    // Device 2 keeps the connection busy for ever: each of its answers makes the test ask again.
    for (const order of [
      'late answer before the AARE',
      'late answer before the next exchange',
      'late AARE',
      'never',
    ] as const) {
      const { wan, meter } = await start(t)
      isAnswer(t, await wan.exchange(meter.address(1), [get(1)], Lane.NORMAL), 1, [1], order)
      isAnswer(t, await wan.exchange(meter.address(2), [get(1)], Lane.NORMAL), 2, [1], order)
      let isBusy = true
      let busyCount = 0
      const busy = (async () => {
        for (; isBusy; busyCount++) {
          const result = await wan.exchange(meter.address(2), [get(busyCount)], Lane.NORMAL)
          if (!result.ok) t.fail(`device 2: ${result.code} ${result.detail}`)
        }
      })()
      let held: Seen | undefined
      let heldAarq: Seen | undefined
      meter.script = (seen) => {
        if (seen.device === 1 && seen.tag === getTag && !held) held = seen
        else if (order === 'late AARE' && seen.device === 1 && seen.tag === aarqTag && !heldAarq)
          heldAarq = seen
        else {
          if (order === 'late answer before the AARE' && seen.device === 1 && seen.tag === aarqTag)
            held!.answer()
          if (order === 'late AARE' && seen.device === 1 && seen.tag === aarqTag) heldAarq!.answer()
          seen.answer()
        }
      }
      isFailure(
        t,
        await wan.exchange(meter.address(1), [get(2)], Lane.NORMAL),
        'DEVICE_SILENT',
        /no answer in time/,
        order,
      )
      if (order === 'late answer before the next exchange') {
        held!.answer()
        const before = busyCount
        while (busyCount < before + 3) await new Promise(setImmediate)
      }
      if (order === 'late AARE') {
        isFailure(
          t,
          await wan.exchange(meter.address(1), [get(3)], Lane.NORMAL),
          'DEVICE_SILENT',
          /no association in time/,
          order,
        )
      }
      isAnswer(
        t,
        await wan.exchange(meter.address(1), [get(4)], Lane.NORMAL),
        1,
        [4],
        `${order}: the right answer`,
      )
      isAnswer(
        t,
        await wan.exchange(meter.address(1), [get(5)], Lane.NORMAL),
        1,
        [5],
        `${order}: and the one after it`,
      )
      isBusy = false
      await busy
      t.equal(meter.accepted, 1, `${order}: one connection all the time`)
      t.equal(meter.count(aarqTag, 2), 1, `${order}: device 2 was left alone`)
    }
  },
)

t.test('a hub that falls silent altogether is given up', async (t) => {
  const { wan, meter } = await start(t)
  await Promise.all(
    [1, 2].map((device) => wan.exchange(meter.address(device), [get(1)], Lane.NORMAL)),
  )
  let isSilent = true
  meter.script = (seen) => {
    if (!isSilent) seen.answer()
  }
  const results = await Promise.all(
    [1, 2].map((device) => wan.exchange(meter.address(device), [get(2)], Lane.NORMAL)),
  )
  for (const result of results) isFailure(t, result, 'DEVICE_SILENT', /no answer in time/, 'silent')
  isSilent = false
  isAnswer(t, await wan.exchange(meter.address(2), [get(3)], Lane.NORMAL), 2, [3], 'next')
  t.equal(meter.accepted, 2)
})

t.test('a connection that drops', async (t) => {
  const { wan, meter } = await start(t)
  meter.script = (seen) => {
    if (seen.tag === getTag)
      seen.socket.write(seen.truth().subarray(0, 11), () => seen.socket.destroy())
    else seen.answer()
  }
  isFailure(
    t,
    await wan.exchange(meter.address(), [get(1)], Lane.NORMAL),
    'DEVICE_SILENT',
    /closed by the device|ECONNRESET/,
    'in the middle',
  )
  meter.script = (seen) => void seen.socket.resetAndDestroy()
  isFailure(
    t,
    await wan.exchange(meter.address(), [get(1)], Lane.NORMAL),
    'DEVICE_SILENT',
    /ECONNRESET/,
    'reset',
  )
  meter.script = undefined
  isAnswer(t, await wan.exchange(meter.address(), [get(2)], Lane.NORMAL), 1, [2], 'and comes back')
  for (const socket of meter.sockets) socket.destroy()
  await meter.until(() => meter.sockets.size === 0)
  isAnswer(
    t,
    await wan.exchange(meter.address(), [get(3)], Lane.NORMAL),
    1,
    [3],
    'dropped while idle',
  )
})

t.test(
  'a kept connection that is gone is replaced once, unless the device may have acted',
  async (t) => {
    const { wan, meter } = await start(t, { deadAddressMs: 0 })
    isAnswer(t, await wan.exchange(meter.address(), [get(1)], Lane.NORMAL), 1, [1], 'first')
    const dropOn = (connection: number) => (seen: Seen) => {
      if (seen.connection <= connection) seen.socket.destroy()
      else seen.answer()
    }
    meter.script = dropOn(1)
    isAnswer(
      t,
      await wan.exchange(meter.address(), [get(2)], Lane.NORMAL),
      1,
      [2],
      'a GET is asked again',
    )
    t.equal(meter.accepted, 2)
    meter.script = dropOn(2)
    isFailure(
      t,
      await wan.exchange(meter.address(), [set(3)], Lane.NORMAL),
      'DEVICE_SILENT',
      /closed|ECONNRESET/,
      'a SET is not',
    )
    t.equal(meter.count(setTag), 1)
    meter.script = undefined
    isAnswer(t, await wan.exchange(meter.address(), [get(4)], Lane.NORMAL), 1, [4], 'next')
    meter.script = dropOn(99)
    isFailure(
      t,
      await wan.exchange(meter.address(), [get(5)], Lane.NORMAL),
      'DEVICE_SILENT',
      /closed|ECONNRESET/,
      'once only',
    )
    meter.script = undefined
    isAnswer(t, await wan.exchange(meter.address(1), [get(6)], Lane.NORMAL), 1, [6], 'next')
    const connections = meter.accepted
    meter.script = dropOn(connections)
    isAnswer(
      t,
      await wan.exchange(meter.address(9), [set(6), get(7)], Lane.NORMAL).then(tail),
      9,
      [7],
      'a SET whose AARQ was lost',
    )
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
    const { wan, meter } = await start(t)
    if (apduBytesMax) meter.apduBytesMax = apduBytesMax
    if (value)
      meter.get = (device, descriptor) => (device === 1 ? value() : valueOf(device, descriptor))
    let held: Seen | undefined
    meter.script = (seen) => {
      if (seen.device === 1 && seen.tag === getTag) script(seen)
      else if (seen.device === 2 && seen.tag === getTag && !held) held = seen
      else seen.answer()
    }
    const other = wan.exchange(meter.address(2), [get(1)], Lane.NORMAL)
    await meter.until(() => held !== undefined)
    isFailure(
      t,
      await wan.exchange(meter.address(1), [get(1)], Lane.NORMAL),
      'DEVICE_ANSWER_INVALID',
      detail,
      what,
    )
    held!.answer()
    isAnswer(
      t,
      await other,
      2,
      [1],
      `${what}: the other device behind the connection gets its answer`,
    )
    t.equal(meter.accepted, 1)
    meter.script = undefined
    meter.get = valueOf
    isAnswer(
      t,
      await wan.exchange(meter.address(1), [get(2)], Lane.NORMAL),
      1,
      [2],
      `${what}: next`,
    )
  }
})

t.test('octets that are no frame close the connection', async (t) => {
  const { wan, meter } = await start(t)
  meter.script = (seen) => {
    if (seen.device === 1 && seen.tag === getTag)
      seen.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
    else if (seen.tag !== getTag) seen.answer()
  }
  const results = await Promise.all(
    [2, 1].map((device) => wan.exchange(meter.address(device), [get(1)], Lane.NORMAL)),
  )
  for (const result of results)
    isFailure(t, result, 'DEVICE_ANSWER_INVALID', /DLMS_WRAPPER_INVALID/, 'no frame')
  meter.script = undefined
  isAnswer(t, await wan.exchange(meter.address(), [get(2)], Lane.NORMAL), 1, [2], 'next')
})

t.test('an exception-response ends the exchange and not the association', async (t) => {
  const { wan, meter } = await start(t)
  meter.script = (seen) => (seen.tag === getTag ? seen.say(Buffer.of(0xd8, 1, 2)) : seen.answer())
  isFailure(
    t,
    await wan.exchange(meter.address(), [get(1)], Lane.NORMAL),
    'DEVICE_ANSWER_INVALID',
    /DLMS_EXCEPTION/,
    'exception',
  )
  meter.script = undefined
  isAnswer(t, await wan.exchange(meter.address(), [get(2)], Lane.NORMAL), 1, [2], 'next')
  t.equal(meter.count(aarqTag), 1)
})

t.test('unsolicited frames are dropped, a flood of them is cut', async (t) => {
  const { wan, meter } = await start(t)
  // Those of the asked device count as answers, so another one does the talking.
  meter.script = (seen) => {
    const noise = Buffer.alloc(8 + 2)
    noise.writeUInt16BE(1, 0)
    noise.writeUInt16BE(4_000, 2)
    noise.writeUInt16BE(2, 6)
    for (let i = 0; i < 20; i++) seen.socket.write(noise)
    seen.answer()
  }
  isAnswer(t, await wan.exchange(meter.address(), [get(1)], Lane.NORMAL), 1, [1], 'between noise')
  t.equal(meter.accepted, 1)
  const [socket] = meter.sockets
  const noise = Buffer.alloc(10)
  noise.writeUInt16BE(1, 0)
  noise.writeUInt16BE(2, 6)
  socket!.write(Buffer.concat(Array.from({ length: 2_000 }, () => noise)))
  await meter.until(() => meter.ended === 1)
  isAnswer(t, await wan.exchange(meter.address(), [get(2)], Lane.NORMAL), 1, [2], 'after the flood')
})

t.test('the cap: the least recently used idle connection is released', async (t) => {
  const meters = await Promise.all([1, 2, 3].map(() => ScriptedMeter.start()))
  const wan = new TcpWan({ ...quick, connectionsMax: 2 })
  t.teardown(async () => {
    await wan.close()
    for (const meter of meters) await meter.stop()
  })
  const [a, b, c] = meters as [ScriptedMeter, ScriptedMeter, ScriptedMeter]
  const ask = async (meter: ScriptedMeter, number: number): Promise<void> =>
    isAnswer(
      t,
      await wan.exchange(meter.address(), [get(number)], Lane.NORMAL),
      1,
      [number],
      `ask ${number}`,
    )
  await ask(a, 1)
  await ask(b, 2)
  await ask(a, 3)
  await ask(c, 4)
  t.same([a.accepted, b.accepted, c.accepted], [1, 1, 1])
  t.equal(b.count(rlrqTag), 1, 'b was used longest ago: released')
  t.equal(a.count(rlrqTag), 0)
  await ask(a, 5)
  t.equal(a.accepted, 1, 'a is still connected')
  await ask(b, 6)
  t.equal(c.count(rlrqTag), 1, 'then c made room')
  t.ok(wan.counts.connections <= 2)
})

t.test(
  'waiting for a connection: urgent before normal before bulk; what waits too long is told',
  async (t) => {
    const order: string[] = []
    const meters = await Promise.all([0, 1, 2, 3].map(() => ScriptedMeter.start()))
    const wan = new TcpWan({ ...quick, connectionsMax: 1, responseMs: 2_000 })
    t.teardown(async () => {
      await wan.close()
      for (const meter of meters) await meter.stop()
    })
    let held: Seen | undefined
    meters[0]!.script = (seen) => {
      if (seen.tag === getTag && !held) held = seen
      else seen.answer()
    }
    const first = wan.exchange(meters[0]!.address(), [get(1)], Lane.NORMAL)
    await meters[0]!.until(() => held !== undefined)
    const ask = (meter: number, lane: Lane, name: string): Promise<void> =>
      wan.exchange(meters[meter]!.address(), [get(2)], lane).then((result) => {
        order.push(result.ok ? name : `${name} ${result.code}`)
      })
    const waiting = [
      ask(1, Lane.BULK, 'bulk'),
      ask(2, Lane.NORMAL, 'normal'),
      ask(3, Lane.BULK, 'bulk that an urgent one joins'),
      ask(3, Lane.URGENT, 'urgent'),
    ]
    held!.answer()
    isAnswer(t, await first, 1, [1], 'first')
    await Promise.all(waiting)
    t.same(order, ['urgent', 'bulk that an urgent one joins', 'normal', 'bulk'])
    t.equal(wan.counts.connections, 1)

    const impatient = new TcpWan({ ...quick, connectionsMax: 1, responseMs: 5_000, exchangeMs: 60 })
    held = undefined
    const holder = impatient.exchange(meters[0]!.address(), [get(1)], Lane.NORMAL)
    const waiter = impatient.exchange(meters[1]!.address(), [get(1)], Lane.NORMAL)
    isFailure(t, await waiter, 'DEVICE_UNREACHABLE', /no connection became free/, 'waited too long')
    isFailure(t, await holder, 'DEVICE_SILENT', /in time/, 'the whole exchange has an end too')
    await impatient.close()
  },
)

t.test('room on a connection is given by lane too, and the whole is bounded', async (t) => {
  const { wan, meter } = await start(t, {
    exchangesPerConnectionMax: 1,
    exchangesMax: 4,
    responseMs: 2_000,
  })
  let held: Seen | undefined
  meter.script = (seen) => {
    if (seen.tag === getTag && !held) held = seen
    else seen.answer()
  }
  const order: number[] = []
  const ask = (device: number, lane: Lane): Promise<unknown> =>
    wan.exchange(meter.address(device), [get(1)], lane).then((result) => {
      order.push(device)
      isAnswer(t, result, device, [1], `device ${device}`)
    })
  const asked = [ask(1, Lane.BULK), ask(2, Lane.BULK), ask(3, Lane.NORMAL), ask(4, Lane.URGENT)]
  isFailure(
    t,
    await wan.exchange(meter.address(5), [get(1)], Lane.URGENT),
    'DEVICE_UNREACHABLE',
    /too many/,
    'full',
  )
  await meter.until(() => held !== undefined)
  held!.answer()
  await Promise.all(asked)
  // Before the connection stood, all four waited: the urgent one went first.
  t.same(order, [4, 3, 1, 2])
})

t.test('many addresses under a small cap all get their turn', async (t) => {
  const meters = await Promise.all(Array.from({ length: 24 }, () => ScriptedMeter.start()))
  const wan = new TcpWan({
    ...quick,
    connectionsMax: 5,
    connectsMax: 2,
    responseMs: 4_000,
    exchangeMs: 20_000,
  })
  const exchanges: Promise<void>[] = []
  for (let i = 0; i < 240; i++) {
    const meter = meters[(i * 7) % meters.length]!
    const lane = (i % 3) as Lane
    exchanges.push(
      wan
        .exchange(meter.address(1 + (i % 3)), [get(i)], lane)
        .then((result) => isAnswer(t, result, 1 + (i % 3), [i], `exchange ${i}`)),
    )
  }
  await Promise.all(exchanges)
  t.ok(wan.counts.connections <= 5)
  await wan.close()
  t.match(
    wan.counts,
    { exchanges: 0, connections: 0, connecting: 0, idle: 0, endpoints: 0 },
    'nothing is left behind',
  )
  for (const meter of meters) await meter.stop()
})

t.test('close releases associations, fails what cannot end, and is final', async (t) => {
  const { wan, meter } = await start(t)
  await Promise.all(
    [1, 2].map((device) => wan.exchange(meter.address(device), [get(1)], Lane.NORMAL)),
  )
  await wan.close()
  await meter.until(() => meter.ended === 1)
  t.equal(meter.count(rlrqTag), 2)
  isFailure(
    t,
    await wan.exchange(meter.address(), [get(1)], Lane.NORMAL),
    'DEVICE_UNREACHABLE',
    /closing/,
    'afterwards',
  )

  const busy = new TcpWan({ ...quick, responseMs: 60_000 })
  let held: Seen | undefined
  meter.script = (seen) => {
    if (seen.tag === getTag && seen.device === 1) held = seen
    else if (seen.device !== 3) seen.answer()
  }
  const ends = busy.exchange(meter.address(1), [get(1)], Lane.NORMAL)
  const never = busy.exchange(meter.address(3), [get(1)], Lane.NORMAL)
  await meter.until(() => held !== undefined && meter.count(aarqTag, 3) === 1)
  const closed = busy.close()
  held!.answer()
  isAnswer(t, await ends, 1, [1], 'what is under way may end')
  isFailure(t, await never, 'DEVICE_SILENT', /in time/, 'within reason')
  await closed
  t.match(busy.counts, { exchanges: 0, connections: 0 })

  const connecting = new TcpWan(quick)
  const early = connecting.exchange(meter.address(2), [get(1)], Lane.NORMAL)
  await connecting.close()
  isFailure(t, await early, 'DEVICE_UNREACHABLE', /closing|not needed/, 'closed while connecting')
})

t.test(
  'property: whatever devices do, every exchange has one result and no answer goes to another question',
  async () => {
    const fault = fc.constantFrom(
      'answer',
      'answer',
      'answer',
      'hold',
      'hold',
      'garbage',
      'stray',
      'late',
      'late',
      'drop',
      'noFrame',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fault, { minLength: 4, maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        async (faults, devices) => {
          const meter = await ScriptedMeter.start()
          const wan = new TcpWan({ ...quick, responseMs: 12, sweepMs: 2, deadAddressMs: 0 })
          const held: Seen[] = []
          let step = 0
          meter.script = (seen) => {
            switch (faults[step++ % faults.length]) {
              case 'hold':
                held.push(seen)
                return
              case 'garbage':
                return seen.say(Buffer.of(0xc4, 9, 9))
              case 'stray':
                seen.answer()
                return seen.say(Buffer.of(0x0e, 1, 1, 1))
              case 'late': {
                // Everything held so far comes now, in order and in front.
                for (const late of held.splice(0)) if (!late.socket.destroyed) late.answer()
                return seen.answer()
              }
              case 'drop':
                return void seen.socket.destroy()
              case 'noFrame':
                return void seen.socket.write('no frame at all')
              default:
                return seen.answer()
            }
          }
          const one = async (device: number): Promise<void> => {
            for (let i = 0; i < 6; i++) {
              const number = device * 1_000 + i
              const result = await wan.exchange(meter.address(device), [get(number)], Lane.NORMAL)
              if (result.ok) {
                const value = Buffer.from(result.results[0]!.value!)
                if (!value.equals(valueOf(device, descriptorOf(number))))
                  throw new Error(`device ${device} question ${i} got ${value.toString('hex')}`)
              }
            }
          }
          await Promise.all(Array.from({ length: devices }, (_, i) => one(i + 1)))
          meter.script = undefined
          // When the faults stop, everybody is served, in two tries at most.
          for (let device = 1; device <= devices; device++) {
            let result = await wan.exchange(meter.address(device), [get(device)], Lane.NORMAL)
            if (!result.ok)
              result = await wan.exchange(meter.address(device), [get(device)], Lane.NORMAL)
            if (!result.ok)
              throw new Error(
                `device ${device} is not served again: ${result.code} ${result.detail}`,
              )
          }
          await wan.close()
          await meter.stop()
        },
      ),
      { numRuns: 40 },
    )
  },
)
